using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Calico.Core.Model;

/// <summary>
/// A port match: one number, an inclusive range <c>min:max</c>, or the name of a workload's port. Written as a JSON
/// number when it is one number and as a string otherwise.
/// </summary>
public readonly record struct Port
{
    private Port(ushort min, ushort max, string? name)
    {
        Min = min;
        Max = max;
        Name = name;
    }

    public ushort Min { get; }
    public ushort Max { get; }

    /// <summary>The port's name, with <see cref="Min"/> and <see cref="Max"/> 0; null for numbers.</summary>
    public string? Name { get; }

    [MemberNotNullWhen(true, nameof(Name))]
    public bool IsNamed => Name is not null;

    public bool IsSingle => !IsNamed && Min == Max;

    public static Port Single(ushort port) => new(port, port, null);
    public static Port Range(ushort min, ushort max) => new(min, max, null);
    public static Port Named(string name) => new(0, 0, name);

    public bool Contains(ushort port) => !IsNamed && port >= Min && port <= Max;

    /// <summary>Reads <c>80</c>, <c>1:100</c> or a name: letters, digits and <c>_ . -</c>, at most 128 of them.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out Port port)
    {
        port = default;
        if (ushort.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
        {
            port = Single(number);
            return true;
        }
        var colon = text.IndexOf(':');
        if (colon > 0)
        {
            if (!ushort.TryParse(text[..colon], NumberStyles.None, CultureInfo.InvariantCulture, out var min)
                || !ushort.TryParse(text[(colon + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out var max)
                || min > max)
                return false;
            port = Range(min, max);
            return true;
        }
        if (!IsName(text))
            return false;
        port = Named(text.ToString());
        return true;
    }

    public static Port Parse(ReadOnlySpan<char> text) =>
        TryParse(text, out var port) ? port : throw new FormatException($"'{text}' is not a port, a range min:max or a port name");

    public override string ToString() => Name
        ?? (Min == Max
            ? Min.ToString(CultureInfo.InvariantCulture)
            : string.Create(CultureInfo.InvariantCulture, $"{Min}:{Max}"));

    internal static bool IsName(ReadOnlySpan<char> text)
    {
        if (text.Length is 0 or > 128 || text.ContainsAnyExceptInRange('\0', '~') || IsAllDigits(text))
            return false;
        foreach (var c in text)
        {
            if (!char.IsAsciiLetterOrDigit(c) && c is not ('_' or '.' or '-'))
                return false;
        }
        return true;
    }

    private static bool IsAllDigits(ReadOnlySpan<char> text) => !text.ContainsAnyExceptInRange('0', '9');
}
