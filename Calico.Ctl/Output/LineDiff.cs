using System.Text;

namespace Calico.Ctl.Output;

/// <summary>
/// The difference of two texts line by line, as <c>diff -u</c> shows it: lines that go with a minus, lines that come with
/// a plus, and three lines around.
/// </summary>
internal static class LineDiff
{
    private const int Context = 3;

    /// <summary>More lines than this are compared only from their first to their last difference.</summary>
    private const int MaxLines = 4000;

    /// <summary>Empty when the texts are the same.</summary>
    public static string Of(string before, string after, bool inColour)
    {
        var lines = Compare(Lines(before), Lines(after));
        var keep = new bool[lines.Count];
        for (var i = 0; i < lines.Count; i++)
        {
            if (lines[i].Sign == ' ')
                continue;
            for (var near = Math.Max(0, i - Context); near <= Math.Min(lines.Count - 1, i + Context); near++)
                keep[near] = true;
        }
        var text = new StringBuilder();
        for (var i = 0; i < lines.Count; i++)
        {
            if (!keep[i])
                continue;
            if (i > 0 && !keep[i - 1] && text.Length > 0)
                text.Append("  ...\n");
            var (sign, line) = lines[i];
            text.Append(inColour && sign != ' ' ? $"\u001b[{(sign == '+' ? 32 : 31)}m{sign} {line}\u001b[0m\n" : $"{sign} {line}\n");
        }
        return text.ToString();
    }

    private static string[] Lines(string text) => text.Length == 0 ? [] : text.TrimEnd('\n').Split('\n');

    // The longest common subsequence, between what is the same at both ends.
    private static List<(char Sign, string Line)> Compare(string[] before, string[] after)
    {
        var head = 0;
        while (head < before.Length && head < after.Length && before[head] == after[head])
            head++;
        var tail = 0;
        while (tail < before.Length - head && tail < after.Length - head && before[^(tail + 1)] == after[^(tail + 1)])
            tail++;
        var (a, b) = (before[head..^tail], after[head..^tail]);
        var lines = new List<(char, string)>(before[..head].Select(l => (' ', l)));
        if (a.Length > MaxLines || b.Length > MaxLines)
        {
            lines.AddRange(a.Select(l => ('-', l)));
            lines.AddRange(b.Select(l => ('+', l)));
        }
        else
        {
            lines.AddRange(Middle(a, b));
        }
        lines.AddRange(before[^tail..].Select(l => (' ', l)));
        return lines;
    }

    private static IEnumerable<(char, string)> Middle(string[] a, string[] b)
    {
        var common = new ushort[a.Length + 1, b.Length + 1];
        for (var i = a.Length - 1; i >= 0; i--)
        {
            for (var j = b.Length - 1; j >= 0; j--)
                common[i, j] = a[i] == b[j] ? (ushort)(common[i + 1, j + 1] + 1) : Math.Max(common[i + 1, j], common[i, j + 1]);
        }
        var (x, y) = (0, 0);
        while (x < a.Length || y < b.Length)
        {
            if (x < a.Length && y < b.Length && a[x] == b[y])
            {
                yield return (' ', a[x++]);
                y++;
            }
            else if (y == b.Length || (x < a.Length && common[x + 1, y] >= common[x, y + 1]))
            {
                yield return ('-', a[x++]);
            }
            else
            {
                yield return ('+', b[y++]);
            }
        }
    }
}
