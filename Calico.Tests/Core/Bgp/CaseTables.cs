using System.Text.Json;

namespace Calico.Tests.Core.Bgp;

/// <summary>
/// Finds the answer tables that live beside the repository: in the folder CALICO_CASES names, else in
/// <c>shared/cases</c> of a folder above the test assembly.
/// </summary>
internal static class CaseTables
{
    public static string? Folder(string name)
    {
        if (Environment.GetEnvironmentVariable("CALICO_CASES") is { Length: > 0 } set)
            return Existing(Path.Combine(set, name));
        for (var at = new DirectoryInfo(AppContext.BaseDirectory); at is not null; at = at.Parent)
        {
            if (Existing(Path.Combine(at.FullName, "shared", "cases", name)) is { } found)
                return found;
        }
        return null;
    }

    /// <summary>The rows of a table, or null where the tables are not on this machine.</summary>
    public static IReadOnlyList<JsonElement>? Rows(string folder, string file)
    {
        if (Folder(folder) is not { } path)
            return null;
        using var document = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(path, file)));
        return [.. document.RootElement.Clone().EnumerateArray()];
    }

    public static string Text(this JsonElement row, string name) =>
        row.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString()! : "";

    public static byte[] Hex(this JsonElement row, string name) => Convert.FromHexString(row.Text(name));

    private static string? Existing(string path) => Directory.Exists(path) ? path : null;
}
