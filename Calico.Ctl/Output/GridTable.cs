using System.Text;

namespace Calico.Ctl.Output;

/// <summary>A table with a frame of ASCII characters, as Calico's ipam commands print it. Headings stand to the left.</summary>
internal sealed class GridTable(params string[] headings)
{
    private readonly List<string[]> _rows = [];

    /// <summary>The first of the columns whose cells stand to the right; all after it do too.</summary>
    public int FirstNumber { get; init; } = int.MaxValue;

    public void Add(params string[] cells) => _rows.Add(cells);

    public override string ToString()
    {
        var widths = headings.Select((h, i) => _rows.Select(r => r[i].Length).Append(h.Length).Max()).ToArray();
        var line = "+" + string.Concat(widths.Select(w => new string('-', w + 2) + "+")) + "\n";
        var text = new StringBuilder(line);
        Append(text, headings.Select((h, i) => h.PadRight(widths[i])));
        text.Append(line);
        foreach (var row in _rows)
            Append(text, row.Select((c, i) => i >= FirstNumber ? c.PadLeft(widths[i]) : c.PadRight(widths[i])));
        return text.Append(line).ToString();
    }

    private static void Append(StringBuilder text, IEnumerable<string> cells) =>
        text.Append("| ").AppendJoin(" | ", cells).Append(" |\n");
}
