using System.Text;

namespace Calico.Ctl.Output;

/// <summary>
/// Columns as Go's tabwriter lays them out for calicoctl: every cell, the last one too, is padded to the longest of its
/// column plus three blanks, and to five at least.
/// </summary>
internal static class TabWriter
{
    private const int Padding = 3;
    private const int MinWidth = 5;

    public static string Format(IReadOnlyList<string[]> rows)
    {
        var widths = new int[rows.Max(r => r.Length)];
        foreach (var row in rows)
        {
            for (var i = 0; i < row.Length; i++)
                widths[i] = Math.Max(widths[i], Math.Max(MinWidth, Length(row[i]) + Padding));
        }
        var text = new StringBuilder();
        foreach (var row in rows)
        {
            for (var i = 0; i < row.Length; i++)
                text.Append(row[i]).Append(' ', widths[i] - Length(row[i]));
            text.Append('\n');
        }
        return text.ToString();
    }

    private static int Length(string cell) => cell.EnumerateRunes().Count();
}
