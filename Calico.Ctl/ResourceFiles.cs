using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Datastore.Manifests;

namespace Calico.Ctl;

/// <summary>A resource and where it comes from.</summary>
/// <param name="Resource">The resource.</param>
/// <param name="Locate">File and line of a field; null for a resource that the command line names.</param>
internal sealed record PlacedResource(Resource Resource, Func<string, string>? Locate = null)
{
    /// <summary>An error about it with its place; of several, each on a line with a place of its own.</summary>
    public string Explain(Exception error) => Locate is null ? error.Message
        : error is InvalidResourceException invalid ? ResourceFiles.Explain(invalid.Subject, invalid.Errors, Locate)
        : $"{Locate("")}: {error.Message}";
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
    /// <exception cref="CtlException">As <see cref="Read"/>, or some are no resources: all of those are named.</exception>
    public static List<PlacedResource> ReadResources(string path, bool isRecursive, bool skipEmpty, TextReader standardInput)
    {
        var resources = new List<PlacedResource>();
        var problems = new List<string>();
        foreach (var document in Read(path, isRecursive, skipEmpty, standardInput))
        {
            try
            {
                resources.Add(new PlacedResource(ResourceCodec.ParseStrict(document.Json), document.Locate));
            }
            catch (InvalidResourceException e)
            {
                problems.Add(Explain(e.Subject, e.Errors, document.Locate));
            }
        }
        return problems.Count == 0 ? resources : throw Unusable(problems);
    }

    /// <summary>A line for each error, with its place.</summary>
    public static string Explain(string subject, IEnumerable<FieldError> errors, Func<string, string> locate) =>
        string.Join('\n', errors.Select(e => $"{locate(e.Path)}: {subject}: {e}"));

    /// <summary>What ends a command that was given what is no resource.</summary>
    public static CtlException Unusable(IEnumerable<string> problems) => new($"failed to execute command: {string.Join('\n', problems)}");

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
