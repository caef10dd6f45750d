namespace Calico.Datastore.Manifests;

/// <summary>A manifest that is no YAML or JSON, with the place; lines and columns count from 1.</summary>
public sealed class ManifestException(string source, long line, long column, string reason, Exception? inner = null)
    : Exception($"{source}:{line}:{column}: {reason}", inner)
{
    public long Line { get; } = line;
    public long Column { get; } = column;
}
