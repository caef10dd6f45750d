using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Calico.Datastore.Kubernetes.Client;

namespace Calico.Datastore.Kubernetes.Mapping;

/// <summary>
/// Keys that the API has no kind for, <c>/calico/mesh/v1/cluster</c> for one: an object each, named after the key as far
/// as the API's alphabet goes and a hash for the rest, with the key and the bytes inside.
/// </summary>
internal sealed class RecordMap() : KeyMap(KubeResource.Records, "")
{
    private const int MaxReadable = 180;

    public override bool KeepsCreation => true;

    public override bool Expires => true;

    public override bool TryLocate(string key, out ObjectName name)
    {
        name = new ObjectName(null, NameOf(key));
        return true;
    }

    public static string NameOf(string key)
    {
        var name = new StringBuilder();
        foreach (var character in key.AsSpan().TrimStart("/calico/"))
        {
            if (name.Length == MaxReadable)
                break;
            if (char.IsAsciiLetterLower(character) || char.IsAsciiDigit(character))
                name.Append(character);
            else if (name.Length > 0 && name[^1] != '-')
                name.Append('-');
        }
        if (name.Length > 0 && name[^1] != '-')
            name.Append('-');
        var hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(key)));
        return name.Append(hash.AsSpan(0, 20)).ToString();
    }

    public override string? KeyOf(KubeItem item) => item.SpecText("key");

    public override byte[]? ValueOf(KubeItem item)
    {
        var text = item.SpecText("value") ?? "";
        var bytes = new byte[text.Length / 4 * 3 + 3];
        return Convert.TryFromBase64String(text, bytes, out var length) ? bytes[..length] : null;
    }

    public override KubeWrite Put(KubeItem? existing, string key, ReadOnlyMemory<byte> value)
    {
        var body = Placeholder(key);
        // An empty one is left out: some servers take an empty string for null.
        if (!value.IsEmpty)
            body["spec"]!["value"] = Convert.ToBase64String(value.Span);
        return new KubeWrite(body, IsPatch: false);
    }

    public override JsonObject Placeholder(string key)
    {
        var body = NewObject(key);
        body["spec"] = new JsonObject { ["key"] = key };
        return body;
    }
}
