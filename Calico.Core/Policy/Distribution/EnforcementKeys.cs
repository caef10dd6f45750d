using System.Text.Json;

namespace Calico.Core.Policy.Distribution;

/// <summary>
/// How somebody learns that a change is in the kernel of every node. The one who waits stores a request with the revision
/// of the change; each node answers under a key of its own once its kernel has everything up to that revision. Both kinds
/// of keys go away by themselves. Nobody writes anything while nobody waits.
/// <code>
///   /calico/mesh/v1/await/ID            {"revision": 1234}     by the one who waits; nodes watch these
///   /calico/mesh/v1/enforced/ID/NODE    {"revision": 1240}     by each node
/// </code>
/// </summary>
public static class EnforcementKeys
{
    public const string RequestPrefix = "/calico/mesh/v1/await/";
    public const string AnswerPrefix = "/calico/mesh/v1/enforced/";

    /// <summary>How long requests and answers stay.</summary>
    public static TimeSpan TimeToLive => TimeSpan.FromMinutes(5);

    private const int MaxIdLength = 64;

    public static string Request(string id) => RequestPrefix + id;
    public static string Answers(string id) => $"{AnswerPrefix}{id}/";
    public static string Answer(string id, string node) => Answers(id) + node;

    public static bool TryParseRequest(string key, out string id)
    {
        id = key.StartsWith(RequestPrefix, StringComparison.Ordinal) ? key[RequestPrefix.Length..] : "";
        return id.Length is > 0 and <= MaxIdLength && id.All(char.IsAsciiLetterOrDigit);
    }

    public static byte[] Write(long revision) => System.Text.Encoding.UTF8.GetBytes(string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{{\"revision\":{revision}}}"));

    /// <summary>The revision of a request or an answer; false for what is none.</summary>
    public static bool TryRead(ReadOnlyMemory<byte> value, out long revision)
    {
        revision = 0;
        try
        {
            using var json = JsonDocument.Parse(value);
            return json.RootElement.ValueKind == JsonValueKind.Object && json.RootElement.TryGetProperty("revision", out var number)
                && number.ValueKind == JsonValueKind.Number && number.TryGetInt64(out revision) && revision > 0;
        }
        catch (JsonException)
        {
            return false;
        }
    }
}
