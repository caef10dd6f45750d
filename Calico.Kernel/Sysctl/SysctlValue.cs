namespace Calico.Kernel.Sysctl;

/// <summary>What the real sysctls and the fake agree on about paths and values.</summary>
internal static class SysctlValue
{
    /// <exception cref="ArgumentException">The path would leave <c>/proc/sys/net</c>.</exception>
    public static string CheckPath(string path)
    {
        foreach (var part in path.AsSpan().Split('/'))
        {
            if (path.AsSpan()[part] is "" or "." or "..")
                throw new ArgumentException($"'{path}' is not a path below /proc/sys/net", nameof(path));
        }
        return path;
    }

    /// <summary>The kernel separates the numbers of a vector with tabs, people with spaces.</summary>
    public static bool Same(ReadOnlySpan<char> a, ReadOnlySpan<char> b)
    {
        var left = a.SplitAny(' ', '\t', '\n');
        var right = b.SplitAny(' ', '\t', '\n');
        while (true)
        {
            var hasLeft = Next(ref left, a, out var l);
            var hasRight = Next(ref right, b, out var r);
            if (!hasLeft || !hasRight)
                return hasLeft == hasRight;
            if (!l.SequenceEqual(r))
                return false;
        }
    }

    private static bool Next(
        ref MemoryExtensions.SpanSplitEnumerator<char> words, ReadOnlySpan<char> text, out ReadOnlySpan<char> word)
    {
        while (words.MoveNext())
        {
            word = text[words.Current];
            if (!word.IsEmpty)
                return true;
        }
        word = default;
        return false;
    }
}
