using System.Text.Json;

namespace Calico.Tests;

/// <summary>
/// Locates the shared case tables: the folder named by the environment variable CALICO_CASES, else
/// <c>../shared/cases</c> next to the repository. A test that needs an absent table says which one and is skipped.
/// </summary>
public static class Cases
{
    private const string Variable = "CALICO_CASES";

    /// <summary>The absolute path of a file such as <c>01-selectors/cases.json</c>, or null where the tables are absent.</summary>
    public static string? TryFind(string relative) =>
        Folders().Select(f => Path.Combine(f, relative)).FirstOrDefault(File.Exists);

    /// <summary>Like <see cref="TryFind"/>, but skips the calling test (a SkippableFact or SkippableTheory) when absent.</summary>
    public static string Find(string relative)
    {
        var path = TryFind(relative);
        Skip.If(path is null, $"case table {relative} is absent: set {Variable} to the folder that holds it");
        return path!;
    }

    /// <summary>The parsed table; skips the calling test when absent.</summary>
    public static JsonElement Read(string relative)
    {
        using var document = JsonDocument.Parse(File.ReadAllBytes(Find(relative)));
        return document.RootElement.Clone();
    }

    private static IEnumerable<string> Folders()
    {
        if (Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } named)
        {
            yield return named;
            yield break;
        }
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            yield return Path.Combine(folder.FullName, "shared", "cases");
    }
}
