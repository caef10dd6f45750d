using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore.Kubernetes.Client;

namespace Calico.Datastore.Kubernetes.Mapping;

/// <summary>Who holds a block: the keys of hosts, or those of other owners such as <c>load-balancer</c>.</summary>
internal sealed class AffinityMap(KubeResource resource, bool isVirtual)
    : SpecMap(resource, isVirtual ? IpamKeys.VirtualPrefix : IpamKeys.HostPrefix)
{
    private const int MaxName = 252;
    private const int HashLength = 11;

    private readonly bool _isClassic = resource.Group == ResourceMap.ClassicGroup;

    private string OwnerPrefix => isVirtual ? "virtual:" : "host:";

    public override bool TryLocate(string key, out ObjectName name)
    {
        name = default;
        if (!TryRead(key, out var owner, out var block))
            return false;
        name = new ObjectName(null, NameOf(owner, block));
        return true;
    }

    private bool TryRead(string key, out string owner, out Cidr block)
    {
        owner = "";
        block = default;
        if (!key.StartsWith(Root, StringComparison.Ordinal) || !IpamKeys.TryParseOwner(key, out var full, out block) || KeyOf(full[OwnerPrefix.Length..], block) != key)
            return false;
        owner = full[OwnerPrefix.Length..];
        return true;
    }

    private string KeyOf(string owner, Cidr block) =>
        string.Concat(Root, IpamKeys.Affinity(owner, block).AsSpan(IpamKeys.HostPrefix.Length));

    /// <summary>The owner and the block; of the owner's name as much as fits with a hash behind.</summary>
    public static string NameOf(string owner, Cidr block)
    {
        var suffix = NameOf(block);
        var name = $"{owner}-{suffix}";
        if (name.Length <= MaxName)
            return name;
        var hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{owner}+{suffix}")));
        return $"{owner[..(MaxName - suffix.Length - HashLength - 2)]}-{suffix}-{hash[..HashLength]}";
    }

    public override string? KeyOf(KubeItem item) =>
        (item.SpecText("type") == "virtual") == isVirtual && item.SpecText("node") is { Length: > 0 } owner
        && Cidr.TryParse(item.SpecText("cidr") ?? "", out var block) ? KeyOf(owner, block) : null;

    public override byte[]? ValueOf(KubeItem item) => IsTombstone(item) ? null
        : IpamJson.WriteAffinity(item.SpecText("state") is { Length: > 0 } state ? state : "confirmed");

    public override KubeWrite Put(KubeItem? existing, string key, ReadOnlyMemory<byte> value) =>
        Write(existing, key, Read(key, () => IpamJson.ParseAffinityState(value)));

    private KubeWrite Write(KubeItem? existing, string key, string state)
    {
        if (!TryRead(key, out var owner, out var block))
            throw Refused(key, "it names no owner and block");
        var spec = SpecOf(existing);
        spec["state"] = state;
        spec["node"] = owner;
        spec["type"] = isVirtual ? "virtual" : "host";
        spec["cidr"] = block.ToString();
        spec["deleted"] = Flag(false, _isClassic);
        return Whole(existing, key, spec, new JsonObject
        {
            ["projectcalico.org/affinity-type"] = isVirtual ? "virtual" : "host",
            ["projectcalico.org/hostname-hash"] = Base32(SHA3_256.HashData(Encoding.UTF8.GetBytes(owner))),
            ["projectcalico.org/ip-version"] = block.IsV4 ? "4" : "6",
        });
    }

    /// <summary>A flag as the group has it: the older one keeps it as text.</summary>
    public static JsonValue Flag(bool value, bool isClassic) =>
        isClassic ? JsonValue.Create(value ? "true" : "false") : JsonValue.Create(value);

    // RFC 4648 section 6 without padding.
    private static string Base32(ReadOnlySpan<byte> bytes)
    {
        const string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        var text = new StringBuilder();
        var (bits, count) = (0, 0);
        foreach (var value in bytes)
        {
            (bits, count) = ((bits << 8) | value, count + 8);
            while (count >= 5)
            {
                text.Append(alphabet[(bits >> (count - 5)) & 31]);
                count -= 5;
            }
            bits &= (1 << count) - 1;
        }
        if (count > 0)
            text.Append(alphabet[(bits << (5 - count)) & 31]);
        return text.ToString();
    }

    public override JsonObject Placeholder(string key) => Write(null, key, "pendingDeletion").Body;
}

/// <summary>Affinities as the resource that calicoctl shows: the same objects under another key.</summary>
internal sealed class AffinityResourceMap(bool isClassic) : ResourceMap(ResourceKind.BlockAffinity, isClassic)
{
    public override bool IsTombstone(KubeItem item) =>
        item.Spec("deleted") is { ValueKind: JsonValueKind.True } || item.SpecText("deleted") == "true";

    public override byte[]? ValueOf(KubeItem item) => IsTombstone(item) ? null : base.ValueOf(item);

    public override KubeWrite Put(KubeItem? existing, string key, ReadOnlyMemory<byte> value)
    {
        var write = base.Put(existing, key, value);
        var spec = JsonForms.Child(write.Body, "spec");
        spec["deleted"] = AffinityMap.Flag(spec["deleted"]?.ToString() == "true", IsClassic);
        return write;
    }
}

/// <summary>Handles. The object's name is the id in lower case, the id itself stands inside.</summary>
internal sealed class HandleMap(KubeResource resource) : SpecMap(resource, IpamKeys.HandlePrefix)
{
    private const int MaxName = 253;

    public override bool TryLocate(string key, out ObjectName name)
    {
        name = default;
        if (!key.StartsWith(Root, StringComparison.Ordinal) || key.Length == Root.Length)
            return false;
        name = new ObjectName(null, NameOf(key[Root.Length..]));
        return true;
    }

    // Calico stops at the lower case; an id that is no name even so gets one that is.
    private static string NameOf(string id)
    {
        var name = id.ToLowerInvariant();
        return name.Length <= MaxName && Core.Model.Schema.Formats.Problem(Core.Model.Schema.FieldFormat.Name, name) is null
            ? name : RecordMap.NameOf(id);
    }

    public override string? KeyOf(KubeItem item) => Root + (item.SpecText("handleID") is { Length: > 0 } id ? id : item.Name);

    public override byte[]? ValueOf(KubeItem item)
    {
        if (IsTombstone(item))
            return null;
        var counts = new Dictionary<string, int>(StringComparer.Ordinal);
        if (item.Spec("block") is { ValueKind: JsonValueKind.Object } blocks)
        {
            foreach (var block in blocks.EnumerateObject())
                counts[block.Name] = block.Value.TryGetInt32(out var count) ? count : 0;
        }
        return IpamJson.WriteHandle(counts);
    }

    public override KubeWrite Put(KubeItem? existing, string key, ReadOnlyMemory<byte> value)
    {
        var counts = new JsonObject();
        foreach (var (block, count) in Read(key, () => IpamJson.ParseHandle(value)))
            counts[block] = count;
        var spec = SpecOf(existing);
        spec["handleID"] = key[Root.Length..];
        spec["block"] = counts;
        spec["deleted"] = false;
        return Whole(existing, key, spec);
    }

    public override JsonObject Placeholder(string key)
    {
        var body = NewObject(key);
        body["spec"] = new JsonObject { ["handleID"] = key[Root.Length..], ["block"] = new JsonObject(), ["deleted"] = false };
        return body;
    }
}
