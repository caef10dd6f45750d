using System.Text.Json;
using System.Text.Json.Nodes;

namespace Calico.Ctl.Commands.Migration;

internal static class JsonText
{
    /// <summary>Whether both say the same; what is no JSON is the same only octet by octet.</summary>
    public static bool IsSame(ReadOnlySpan<byte> a, ReadOnlySpan<byte> b)
    {
        if (a.SequenceEqual(b))
            return true;
        try
        {
            return JsonNode.DeepEquals(JsonNode.Parse(a), JsonNode.Parse(b));
        }
        catch (JsonException)
        {
            return false;
        }
    }
}
