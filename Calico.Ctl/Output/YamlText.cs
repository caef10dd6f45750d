using System.Text.Json;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace Calico.Ctl.Output;

/// <summary>JSON as block YAML with sorted keys, quoted where YAML 1.1 or 1.2 would read something else than the string.</summary>
internal static class YamlText
{
    private static readonly HashSet<string> Words = new(StringComparer.OrdinalIgnoreCase)
    {
        "", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n",
    };

    public static string From(JsonElement json)
    {
        using var text = new StringWriter();
        var emitter = new Emitter(text, new EmitterSettings(bestIndent: 2, bestWidth: int.MaxValue, isCanonical: false, maxSimpleKeyLength: 1024));
        emitter.Emit(new StreamStart());
        emitter.Emit(new DocumentStart(null, null, isImplicit: true));
        Emit(emitter, json);
        emitter.Emit(new DocumentEnd(isImplicit: true));
        emitter.Emit(new StreamEnd());
        return text.ToString().ReplaceLineEndings("\n");
    }

    private static void Emit(Emitter emitter, JsonElement json)
    {
        switch (json.ValueKind)
        {
            case JsonValueKind.Object:
                var fields = json.EnumerateObject().OrderBy(p => p.Name, StringComparer.Ordinal).ToList();
                emitter.Emit(new MappingStart(AnchorName.Empty, TagName.Empty, isImplicit: true, fields.Count == 0 ? MappingStyle.Flow : MappingStyle.Block));
                foreach (var field in fields)
                {
                    emitter.Emit(Text(field.Name));
                    Emit(emitter, field.Value);
                }
                emitter.Emit(new MappingEnd());
                break;
            case JsonValueKind.Array:
                emitter.Emit(new SequenceStart(AnchorName.Empty, TagName.Empty, isImplicit: true,
                    json.GetArrayLength() == 0 ? SequenceStyle.Flow : SequenceStyle.Block));
                foreach (var item in json.EnumerateArray())
                    Emit(emitter, item);
                emitter.Emit(new SequenceEnd());
                break;
            case JsonValueKind.String:
                emitter.Emit(Text(json.GetString()!));
                break;
            default:
                emitter.Emit(new Scalar(AnchorName.Empty, TagName.Empty, json.GetRawText(), ScalarStyle.Plain, isPlainImplicit: true, isQuotedImplicit: false));
                break;
        }
    }

    private static Scalar Text(string text)
    {
        var style = text.Contains('\n', StringComparison.Ordinal) ? ScalarStyle.Literal
            : IsAmbiguous(text) ? ScalarStyle.DoubleQuoted
            : ScalarStyle.Any;
        return new Scalar(AnchorName.Empty, TagName.Empty, text, style, isPlainImplicit: style == ScalarStyle.Any, isQuotedImplicit: true);
    }

    // Numbers in any base and with colons between (YAML 1.1 counts in sixties), dates, and the words for booleans and null.
    private static bool IsAmbiguous(string text) =>
        Words.Contains(text) || ((char.IsAsciiDigit(text[0]) || text[0] is '+' or '-' or '.') && text.All(c => char.IsAsciiHexDigit(c) || c is '+' or '-' or '.' or ':' or '_' or 'x' or 'o' or 'T' or 'Z' or 'i' or 'n' or 'N'));
}
