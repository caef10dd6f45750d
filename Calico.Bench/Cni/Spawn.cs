using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Calico.Bench.Cni;

/// <summary>
/// Runs a program as a container runtime does, from exec to exit. .NET's Process costs about as much as the programs that
/// are measured here, and its children get the namespace of a thread that we do not choose.
/// </summary>
internal static unsafe partial class Spawn
{
    private const int CloseOnExec = 0x80000;

    /// <summary>The exit status, and all that the program printed. It runs in the calling thread's namespaces.</summary>
    public static int Run(string program, IReadOnlyDictionary<string, string> environment, ReadOnlySpan<byte> input, out string output)
    {
        using var memory = Strings([program]);
        using var variables = Strings([.. environment.Select(v => $"{v.Key}={v.Value}")]);
        int* ends = stackalloc int[4];
        byte* actions = stackalloc byte[256];
        if (pipe2(ends, CloseOnExec) != 0 || pipe2(ends + 2, CloseOnExec) != 0)
            throw new IOException("pipe2");
        _ = posix_spawn_file_actions_init(actions);
        _ = posix_spawn_file_actions_adddup2(actions, ends[0], 0);
        _ = posix_spawn_file_actions_adddup2(actions, ends[3], 1);
        int pid, status;
        var error = posix_spawn(&pid, *memory.List, actions, null, memory.List, variables.List);
        _ = close(ends[0]);
        _ = close(ends[3]);
        if (error != 0)
            throw new IOException($"{program} cannot be started: {Marshal.GetPInvokeErrorMessage(error)}");
        using (var end = new FileStream(new SafeFileHandle(ends[1], ownsHandle: true), FileAccess.Write, 0))
            end.Write(input);
        using (var start = new StreamReader(new FileStream(new SafeFileHandle(ends[2], ownsHandle: true), FileAccess.Read, 0), Encoding.UTF8))
            output = start.ReadToEnd();
        while (waitpid(pid, &status, 0) < 0)
        {
        }
        return (status & 0x7f) == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f);
    }

    private static StringList Strings(string[] texts)
    {
        var list = (byte**)NativeMemory.Alloc((nuint)(texts.Length + 1) * (nuint)sizeof(byte*));
        for (var i = 0; i < texts.Length; i++)
            list[i] = (byte*)Marshal.StringToCoTaskMemUTF8(texts[i]);
        list[texts.Length] = null;
        return new StringList(list);
    }

    private readonly struct StringList(byte** list) : IDisposable
    {
        public byte** List => list;

        public void Dispose()
        {
            for (var at = list; *at != null; at++)
                Marshal.FreeCoTaskMem((nint)(*at));
            NativeMemory.Free(list);
        }
    }

    [LibraryImport("libc")]
    private static partial int pipe2(int* ends, int flags);

    [LibraryImport("libc")]
    private static partial int close(int fd);

    [LibraryImport("libc")]
    private static partial int waitpid(int pid, int* status, int options);

    [LibraryImport("libc")]
    private static partial int posix_spawn_file_actions_init(byte* actions);

    [LibraryImport("libc")]
    private static partial int posix_spawn_file_actions_adddup2(byte* actions, int from, int to);

    [LibraryImport("libc")]
    private static partial int posix_spawn(int* pid, byte* path, byte* actions, byte* attributes, byte** arguments, byte** environment);
}
