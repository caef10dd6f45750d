using System.Collections.Immutable;
using System.Text.Json;
using Calico.Kernel.Files;

namespace Calico.Actors.Endpoints;

/// <summary>
/// The workloads of this node on disk, one small file each, written before an ADD is answered and removed after a DEL.
/// With it a restarted agent knows its pods although the datastore is away. Synced to the platter only while the
/// datastore is away; else it has what a power cut may take from here. Not thread-safe: one actor owns it.
/// </summary>
public sealed class WorkloadJournal
{
    // NAME_MAX; container ids and interface names are ASCII.
    private const int LongestName = 255;

    private readonly string _directory;

    /// <param name="directory">Where the files are; made if missing, readable by root only.</param>
    public WorkloadJournal(string directory)
    {
        _directory = directory;
        Directory.CreateDirectory(directory);
        // It says which pods are whose.
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    /// <summary>
    /// Everything that is there. A file that is no workload, as a power cut leaves it, is reported and put aside as
    /// <c>….bad</c>; one that cannot be read is reported and left alone. What a kill left half written is removed.
    /// </summary>
    public ImmutableArray<Workload> Load(Action<string, string> unreadable)
    {
        foreach (var half in Directory.EnumerateFiles(_directory, "*.tmp"))
            File.Delete(half);
        var workloads = ImmutableArray.CreateBuilder<Workload>();
        foreach (var path in Directory.EnumerateFiles(_directory, "*.json").Order(StringComparer.Ordinal))
        {
            try
            {
                if (JsonSerializer.Deserialize<Workload>(File.ReadAllBytes(path)) is { } workload)
                    workloads.Add(workload);
            }
            catch (JsonException e)
            {
                File.Move(path, path + ".bad", overwrite: true);
                unreadable(path, $"{e.Message} It is put aside as {path}.bad");
            }
            catch (IOException e)
            {
                unreadable(path, e.Message);
            }
        }
        return workloads.ToImmutable();
    }

    /// <summary>Writes whole or not at all: under another name first, then renamed.</summary>
    /// <param name="isSynced">Also after a power cut: nobody else knows of it.</param>
    /// <exception cref="IOException">The disk is full or not writable.</exception>
    public void Put(Workload workload, bool isSynced = false) => WholeFile.Write(PathOf(workload), JsonSerializer.SerializeToUtf8Bytes(workload),
        UnixFileMode.UserRead | UnixFileMode.UserWrite, isSynced);

    /// <summary>It is not there any more; one whose name is longer than a file's can be never was.</summary>
    public void Remove(Workload workload)
    {
        var path = PathOf(workload);
        if (Path.GetFileName(path).Length <= LongestName)
            File.Delete(path);
    }

    // Container ids and interface names are checked identifiers; neither can hold a slash.
    private string PathOf(Workload workload) =>
        Path.Combine(_directory, $"{workload.ContainerId}@{workload.PodInterface}.json");
}
