using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Datastore.Manifests;

namespace Calico.Ctl;

/// <summary>A resource and where it comes from.</summary>
/// <param name="Resource">The resource.</param>
/// <param name="Locate">File and line of a field; null for a resource that the command line names.</param>
internal sealed record PlacedResource(Resource Resource, Func<string, string>? Locate = null)
{
    /// <summary>An error about it with its place.</summary>
    public string Explain(Exception error) => Locate is null ? error.Message
        : $"{Locate(error is InvalidResourceException { Errors: [var first, ..] } ? first.Path : "")}: {error.Message}";
}

/// <summary>What <c>-f</c> names: a file, a directory, or <c>-</c> for standard input.</summary>
internal static class ResourceFiles
{
    private static readonly string[] Extensions = [".yaml", ".yml", ".json"];

    /// <summary>Every object in the files, in order, not yet looked at.</summary>
    /// <exception cref="CtlException">A file cannot be read or is no YAML, or has nothing in it.</exception>
    public static List<ManifestDocument> Read(string path, bool isRecursive, bool skipEmpty, TextReader standardInput)
    {
        var documents = new List<ManifestDocument>();
        foreach (var (text, name) in Texts(path, isRecursive, standardInput))
        {
            var before = documents.Count;
            try
            {
                documents.AddRange(ManifestReader.Read(text, name));
            }
            catch (ManifestException e)
            {
                throw new CtlException($"failed to execute command: {e.Message}", e);
            }
            if (documents.Count == before && !skipEmpty)
                throw new CtlException($"no resources specified in file {name}");
        }
        if (documents.Count == 0 && !skipEmpty)
            throw new CtlException($"no resources specified in directory {path}");
        return documents;
    }

    /// <summary>The resources in the files.</summary>
    /// <inheritdoc cref="Read"/>
    public static List<PlacedResource> ReadResources(string path, bool isRecursive, bool skipEmpty, TextReader standardInput) =>
        [.. Read(path, isRecursive, skipEmpty, standardInput).Select(d => new PlacedResource(Parse(d), d.Locate))];

    /// <exception cref="CtlException">The text cannot be read.</exception>
    public static string ReadFile(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CtlException($"failed to execute command: cannot read {path}: {e.Message}", e);
        }
    }

    private static Resource Parse(ManifestDocument document)
    {
        try
        {
            return ResourceCodec.ParseStrict(document.Json);
        }
        catch (InvalidResourceException e)
        {
            throw new CtlException($"failed to execute command: {document.Locate(e.Errors[0].Path)}: {e.Message}", e);
        }
    }

    private static IEnumerable<(string Text, string Name)> Texts(string path, bool isRecursive, TextReader standardInput)
    {
        if (path == "-")
            return [(standardInput.ReadToEnd(), "stdin")];
        if (!Directory.Exists(path))
            return [(ReadFile(path), path)];
        return Directory.EnumerateFiles(path, "*", isRecursive ? SearchOption.AllDirectories : SearchOption.TopDirectoryOnly)
            .Where(f => Extensions.Contains(Path.GetExtension(f), StringComparer.Ordinal))
            .Order(StringComparer.Ordinal)
            .Select(f => (ReadFile(f), f));
    }
}
