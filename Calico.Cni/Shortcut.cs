using System.Runtime;
using System.Runtime.CompilerServices;

namespace Calico.Cni;

/// <summary>
/// The ordinary ADD or DEL without the .NET runtime: starting it costs more than all else that the shim does, and such a
/// call needs none of it. The linker (<c>--wrap=main</c>) has the C library call <see cref="Start"/>.
/// <code>
///   exec ─► Start ─► Try: environment, configuration, namespace, socket, request, reply ─► exit
///                    └─ anything out of the ordinary ─► the runtime's main ─► Program.cs, from the beginning
/// </code>
/// What runs here may allocate nothing, throw nothing, and touch no static that has an initializer. It decides nothing
/// either: what it cannot judge with a few comparisons is the ordinary program's, which has the messages, too. A request
/// that was sent and not answered is sent again there; the node takes a repetition as such.
/// </summary>
internal static unsafe class Shortcut
{
    private const int InputSize = 32 << 10;
    private const int FrameSize = 64 << 10;
    private const int DefaultTimeout = 90_000;
    private const int HeaderLength = 12;
    private const int Magic = 0x43434E49;
    private const int RequestKind = 0x00010001;
    private const int ReplyKind = 0x00010002;
    private const int OutputAt = HeaderLength + 5;
    private const byte NetnsAttached = 1;

    /// <summary>What <see cref="Try"/> has taken from standard input; the ordinary program reads on behind it.</summary>
    public static ReadOnlySpan<byte> Taken => new(_input, _inputLength);

    private static byte* _input;
    private static int _inputLength;

    /// <summary>How much of its time the call has spent here, in milliseconds.</summary>
    public static long Spent;

    [RuntimeExport("__wrap_main")]
    private static int Start(int argc, byte** argv, byte** environment)
    {
        var began = Now();
        var status = argc == 1 ? Try(argv[0], environment) : -1;
        if (status >= 0)
            return status;
        Spent = Now() - began;
        return Bare.RuntimeMain(argc, argv);
    }

    // In a frame of its own: it must be gone when the runtime starts and changes the guard value of stack frames.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static int Try(byte* program, byte** environment)
    {
        var call = default(ShortcutCall);
        if (!call.TryRead(program, environment))
            return -1;
        _input = Bare.malloc(InputSize + FrameSize);
        if (_input == null || !ReadInput())
            return -1;
        var config = new ShortcutConfig(_input, _inputLength);
        if (!config.TryRead())
            return -1;
        if (call.Socket.Length == 0)
            call.Socket = config.NodeSocket.Length > 0 ? config.NodeSocket : Text.Of("/var/run/calico/cni.sock"u8);
        var netns = Bare.open(call.Netns.Start, Libc.OpenReadOnlyCloseOnExec);
        if (netns < 0 || !IsOthersNamespace(netns))
            return -1;
        var node = Connect(call.Socket);
        if (node < 0 || !Send(node, netns, _input + InputSize, ref call))
            return -1;
        return Receive(node, _input + InputSize);
    }

    private static bool ReadInput()
    {
        while (_inputLength < InputSize)
        {
            var n = Bare.read(0, _input + _inputLength, (nuint)(InputSize - _inputLength));
            if (n <= 0)
                return n == 0;
            _inputLength += (int)n;
        }
        return false;
    }

    private static bool IsOthersNamespace(int netns)
    {
        var pod = stackalloc byte[Bare.StatusSize];
        var own = stackalloc byte[Bare.StatusSize];
        byte nothing = 0;
        return Bare.ioctl(netns, Libc.GetNamespaceType, 0) == Libc.NetworkNamespace
            && Bare.statx(netns, &nothing, Libc.AtEmptyPath, Libc.StatxBasic, pod) == 0
            && Bare.statx(Libc.AtFdCwd, Text.Of("/proc/self/ns/net"u8).Start, 0, Libc.StatxBasic, own) == 0
            && (Bare.Inode(pod) != Bare.Inode(own) || Bare.Device(pod) != Bare.Device(own));
    }

    private static int Connect(Text path)
    {
        var status = stackalloc byte[Bare.StatusSize];
        var address = stackalloc byte[110];
        if (path.Length > Libc.MaxSocketPath)
            return -1;
        *(ushort*)address = Libc.AddressFamilyUnix;
        for (var i = 0; i < path.Length; i++)
            address[2 + i] = path.Start[i];
        address[2 + path.Length] = 0;
        if (Bare.statx(Libc.AtFdCwd, address + 2, Libc.AtSymlinkNoFollow, Libc.StatxBasic, status) != 0
            || (Bare.Mode(status) & 0xF000) != Bare.IsSocket || !IsTrusted(Bare.Uid(status)))
            return -1;
        var fd = Bare.socket(Libc.AddressFamilyUnix, Libc.StreamCloseOnExec, 0);
        long* timeout = stackalloc long[2];
        timeout[0] = DefaultTimeout / 1000;
        timeout[1] = 0;
        uint* peer = stackalloc uint[3];
        uint length = 12;
        return fd >= 0 && Bare.setsockopt(fd, Libc.SolSocket, Libc.SoSendTimeout, timeout, 16) == 0
            && Bare.connect(fd, address, (uint)(3 + path.Length)) == 0
            && Bare.getsockopt(fd, Libc.SolSocket, Libc.SoPeerCredentials, peer, &length) == 0 && IsTrusted(peer[1])
            ? fd
            : -1;
    }

    private static bool IsTrusted(uint uid) => uid == 0 || uid == Bare.geteuid();

    // The frame of Calico.Core/Cni/CniRequest.cs.
    private static bool Send(int node, int netns, byte* frame, ref ShortcutCall call)
    {
        var end = frame + HeaderLength;
        *end++ = call.Command;
        *end++ = call.Plugin;
        *end++ = NetnsAttached;
        end = Append(end, call.ContainerId);
        end = Append(end, call.Netns);
        end = Append(end, call.Interface);
        end = Append(end, call.Args);
        end = Append(end, call.Path);
        Number(end, _inputLength);
        end = Copy(end + 4, new Text(_input, _inputLength));
        var length = (int)(end - frame);
        Number(frame, Magic);
        Number(frame + 4, RequestKind);
        Number(frame + 8, length - HeaderLength);

        byte* control = stackalloc byte[24];
        *(nuint*)control = 20;
        *(int*)(control + 8) = Libc.SolSocket;
        *(int*)(control + 12) = Libc.ScmRights;
        *(int*)(control + 16) = netns;
        *(int*)(control + 20) = 0;
        var vector = new Bare.IoVector { Base = frame, Length = (nuint)length };
        var message = new Bare.MessageHeader { Vectors = &vector, VectorCount = 1, Control = control, ControlLength = 24 };
        return Bare.sendmsg(node, &message, Libc.NoSignal) == length;
    }

    private static byte* Append(byte* to, Text text)
    {
        to[0] = (byte)(text.Length >> 8);
        to[1] = (byte)text.Length;
        return Copy(to + 2, text);
    }

    private static byte* Copy(byte* to, Text text)
    {
        for (var i = 0; i < text.Length; i++)
            to[i] = text.Start[i];
        return to + text.Length;
    }

    private static int Receive(int node, byte* reply)
    {
        var have = 0;
        while (true)
        {
            var poll = new Bare.PollEntry { Fd = node, Events = 1 };
            if (Bare.poll(&poll, 1, DefaultTimeout) <= 0)
                return -1;
            var n = Bare.read(node, reply + have, (nuint)(FrameSize - have));
            if (n <= 0)
                return -1;
            have += (int)n;
            if (have < OutputAt)
                continue;
            var output = Number(reply + 13);
            if (Number(reply) != Magic || Number(reply + 4) != ReplyKind || output < 0 || output > FrameSize - OutputAt
                || Number(reply + 8) != output + 5)
                return -1;
            if (have >= OutputAt + output)
                return have == OutputAt + output && Print(reply + OutputAt, output) ? reply[12] : 1;
        }
    }

    private static bool Print(byte* text, int length)
    {
        while (length > 0)
        {
            var n = Bare.write(1, text, (nuint)length);
            if (n <= 0)
                return false;
            text += n;
            length -= (int)n;
        }
        return true;
    }

    private static void Number(byte* to, int value)
    {
        to[0] = (byte)(value >> 24);
        to[1] = (byte)(value >> 16);
        to[2] = (byte)(value >> 8);
        to[3] = (byte)value;
    }

    private static int Number(byte* from) => (from[0] << 24) | (from[1] << 16) | (from[2] << 8) | from[3];

    private static long Now()
    {
        long* time = stackalloc long[2];
        return Bare.clock_gettime(Bare.Monotonic, time) == 0 ? (time[0] * 1000) + (time[1] / 1_000_000) : 0;
    }
}
