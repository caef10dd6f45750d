using System.Collections;
using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;

namespace Calico.Ctl.Output.Templates;

/// <summary>The functions of Go's templates and the three of Calico's tool: join, joinAndTruncate, config.</summary>
internal sealed class TemplateFunctions(Func<string, string> settings)
{
    private const string Cut = "...";

    /// <exception cref="CtlException">There is no such function, or the arguments do not fit it.</exception>
    public object? Call(string name, List<object?> arguments) => (name, arguments.Count) switch
    {
        ("and", > 0) => First(arguments, isTrue: false),
        ("or", > 0) => First(arguments, isTrue: true),
        ("not", 1) => !TemplateValues.IsTrue(arguments[0]),
        ("len", 1) => Length(arguments[0]),
        ("index", > 0) => arguments.Skip(1).Aggregate(arguments[0], Index),
        ("print", _) => string.Concat(arguments.Select(TemplateValues.Text)),
        ("println", _) => string.Join(' ', arguments.Select(TemplateValues.Text)) + "\n",
        ("printf", > 0) when arguments[0] is string format => Format(format, arguments[1..]),
        ("html", _) => WebUtility.HtmlEncode(string.Concat(arguments.Select(TemplateValues.Text))),
        ("urlquery", _) => WebUtility.UrlEncode(string.Concat(arguments.Select(TemplateValues.Text))),
        ("js", _) => JsonEncodedText.Encode(string.Concat(arguments.Select(TemplateValues.Text))).ToString(),
        ("eq", > 1) => arguments.Skip(1).Any(a => Compare(arguments[0], a) == 0),
        ("ne", 2) => Compare(arguments[0], arguments[1]) != 0,
        ("lt", 2) => Compare(arguments[0], arguments[1]) < 0,
        ("le", 2) => Compare(arguments[0], arguments[1]) <= 0,
        ("gt", 2) => Compare(arguments[0], arguments[1]) > 0,
        ("ge", 2) => Compare(arguments[0], arguments[1]) >= 0,
        ("join", 2) => Join(arguments[0], TemplateValues.Text(arguments[1]), 0),
        ("joinAndTruncate", 3) when arguments[2] is long most => Join(arguments[0], TemplateValues.Text(arguments[1]), (int)Math.Clamp(most, 0, int.MaxValue)),
        ("config", 1) => settings(TemplateValues.Text(arguments[0])),
        _ => throw new CtlException($"template: there is no function {name} with {arguments.Count} arguments"),
    };

    // The argument that decides, or the last one.
    private static object? First(List<object?> arguments, bool isTrue)
    {
        var at = arguments.FindIndex(a => TemplateValues.IsTrue(a) == isTrue);
        return arguments[at < 0 ? ^1 : at];
    }

    private static long Length(object? value) => value switch
    {
        null => 0,
        string text => Encoding.UTF8.GetByteCount(text),
        ICollection items => items.Count,
        JsonElement json => json.EnumerateObject().Count(),
        _ => throw new CtlException($"template: len of {TemplateValues.Text(value)}"),
    };

    private static object? Index(object? value, object? index) => (value, index) switch
    {
        (IList items, long i) => i >= 0 && i < items.Count ? items[(int)i] : throw new CtlException($"template: index {i} is out of range: there are {items.Count} items"),
        (JsonElement json, string key) => json.TryGetProperty(key, out var found) ? TemplateValues.From(found) : "",
        (null, _) => null,
        _ => throw new CtlException($"template: {TemplateValues.Text(value)} has no index {TemplateValues.Text(index)}"),
    };

    private static int Compare(object? a, object? b) => (a, b) switch
    {
        (null, null) => 0,
        (string x, string y) => string.CompareOrdinal(x, y),
        (bool x, bool y) => x.CompareTo(y),
        (long or double, long or double) => Convert.ToDouble(a, CultureInfo.InvariantCulture).CompareTo(Convert.ToDouble(b, CultureInfo.InvariantCulture)),
        _ => TemplateValues.Text(a) == TemplateValues.Text(b) ? 0 : throw new CtlException($"template: {TemplateValues.Text(a)} and {TemplateValues.Text(b)} cannot be compared"),
    };

    // A map joins as key=value in order; a list that is cut ends with three dots inside the length.
    private static string Join(object? value, string separator, int most)
    {
        IEnumerable<string> items = value switch
        {
            null => [],
            IList list => list.Cast<object?>().Select(TemplateValues.Text),
            JsonElement json => json.EnumerateObject().Select(f => $"{f.Name}={TemplateValues.Text(TemplateValues.From(f.Value))}").Order(StringComparer.Ordinal),
            _ => [TemplateValues.Text(value)],
        };
        var text = string.Join(separator, items);
        return most <= 0 || text.Length <= most ? text : string.Concat(text.AsSpan(0, Math.Max(0, most - Cut.Length)), Cut);
    }

    // %[-0+][width][.precision]verb
    private static string Format(string format, List<object?> arguments)
    {
        var text = new StringBuilder();
        var next = 0;
        for (var i = 0; i < format.Length; i++)
        {
            if (format[i] != '%')
            {
                text.Append(format[i]);
                continue;
            }
            var start = ++i;
            while (i < format.Length && (char.IsAsciiDigit(format[i]) || format[i] is '-' or '+' or '.' or ' ' or '#'))
                i++;
            if (i == format.Length)
                return text.Append("%!(NOVERB)").ToString();
            if (format[i] == '%')
            {
                text.Append('%');
                continue;
            }
            text.Append(next < arguments.Count ? Verb(format[i], format[start..i], arguments[next++]) : $"%!{format[i]}(MISSING)");
        }
        return text.ToString();
    }

    private static string Verb(char verb, string flags, object? value)
    {
        var parts = flags.TrimStart('-', '+', '0', ' ', '#').Split('.');
        var width = int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out var w) ? Math.Min(w, 1000) : 0;
        int? precision = parts.Length > 1 && int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out var p) ? Math.Min(p, 100) : null;
        var text = (verb, value) switch
        {
            ('q', _) => $"\"{TemplateValues.Text(value).Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)}\"",
            ('x', long n) => n.ToString("x", CultureInfo.InvariantCulture),
            ('f' or 'g' or 'e', long or double) => Convert.ToDouble(value, CultureInfo.InvariantCulture).ToString(verb == 'f' ? $"F{precision ?? 6}" : "R", CultureInfo.InvariantCulture),
            ('s' or 'v', _) when precision is { } most && TemplateValues.Text(value) is var all => all[..Math.Min(most, all.Length)],
            _ => TemplateValues.Text(value),
        };
        if (flags.Contains('+', StringComparison.Ordinal) && value is long or double && !text.StartsWith('-'))
            text = "+" + text;
        return flags.Contains('-', StringComparison.Ordinal) ? text.PadRight(width)
            : flags.StartsWith('0') && value is long or double ? text.PadLeft(width, '0')
            : text.PadLeft(width);
    }
}
