using System.Collections.Immutable;
using System.Text.Json;

namespace Calico.Actors.Endpoints;

/// <summary>
/// The workloads of this node on disk, one small file each, written before an ADD is answered and removed after a DEL.
/// With it a restarted agent knows its pods although the datastore is away. Not synced to the platter: after a power
/// cut there are no pods either. Not thread-safe: one actor owns it.
/// </summary>
public sealed class WorkloadJournal
{
    private readonly string _directory;

    /// <param name="directory">Where the files are; made if missing, readable by root only.</param>
    public WorkloadJournal(string directory)
    {
        _directory = directory;
        Directory.CreateDirectory(directory);
    }

    /// <summary>Everything that is there; a file that cannot be read is reported and left alone.</summary>
    public ImmutableArray<Workload> Load(Action<string, Exception> unreadable)
    {
        var workloads = ImmutableArray.CreateBuilder<Workload>();
        foreach (var path in Directory.EnumerateFiles(_directory, "*.json").Order(StringComparer.Ordinal))
        {
            try
            {
                if (JsonSerializer.Deserialize<Workload>(File.ReadAllBytes(path)) is { } workload)
                    workloads.Add(workload);
            }
            catch (Exception e) when (e is JsonException or IOException)
            {
                unreadable(path, e);
            }
        }
        return workloads.ToImmutable();
    }

    /// <summary>Writes whole or not at all: under another name first, then renamed.</summary>
    /// <exception cref="IOException">The disk is full or not writable.</exception>
    public void Put(Workload workload)
    {
        var path = PathOf(workload);
        var temporary = path + ".tmp";
        File.WriteAllBytes(temporary, JsonSerializer.SerializeToUtf8Bytes(workload));
        File.Move(temporary, path, overwrite: true);
    }

    public void Remove(Workload workload) => File.Delete(PathOf(workload));

    // Container ids and interface names are checked identifiers; neither can hold a slash.
    private string PathOf(Workload workload) =>
        Path.Combine(_directory, $"{workload.ContainerId}@{workload.PodInterface}.json");
}
