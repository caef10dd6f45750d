using System.Text.Json;
using System.Text.Json.Nodes;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Datastore.Kubernetes.Client;

namespace Calico.Datastore.Kubernetes.Mapping;

/// <summary>
/// IPAM's keys: the value is kept in the fields of <c>spec</c>, under the names that Calico's custom resources have.
/// Fields and metadata that nobody here knows stay.
/// </summary>
internal abstract class SpecMap(KubeResource resource, string root) : KeyMap(resource, root)
{
    /// <summary>The object with another spec, and what its metadata has apart from our own bookkeeping.</summary>
    protected KubeWrite Whole(KubeItem? existing, string key, JsonObject spec, JsonObject? labels = null)
    {
        var body = NewObject(key);
        var metadata = body["metadata"]!.AsObject();
        if (labels is not null)
            metadata["labels"] = labels;
        if (existing is not null)
            Bookkeeping.CopyOthers(existing.Metadata, metadata);
        body["spec"] = spec;
        return new KubeWrite(body, IsPatch: false);
    }

    /// <summary>The spec as it is, to be changed.</summary>
    protected static JsonObject SpecOf(KubeItem? item) =>
        item is not null && item.Json.TryGetProperty("spec", out var spec) && spec.ValueKind == JsonValueKind.Object
            ? JsonForms.Editable(spec)
            : [];

    /// <summary>Sets a field, or removes it where there is nothing to say.</summary>
    protected static void Set(JsonObject spec, string name, JsonNode? value)
    {
        if (value is null)
            spec.Remove(name);
        else
            spec[name] = value;
    }

    /// <summary>Marked as deleted by a client of Calico that is about to delete it; a string in the older group.</summary>
    public override bool IsTombstone(KubeItem item) =>
        item.Spec("deleted") is { ValueKind: JsonValueKind.True } || item.SpecText("deleted") == "true";

    /// <summary>What Calico calls a block where dots, colons and slashes are not allowed: <c>10-0-0-0-26</c>.</summary>
    protected static string NameOf(Cidr block) => block.ToString().Replace('.', '-').Replace(':', '-').Replace('/', '-');

    /// <summary>Reads a value that IPAM wrote.</summary>
    protected static T Read<T>(string key, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (FormatException e)
        {
            throw Refused(key, e.Message);
        }
    }
}

/// <summary><c>/calico/ipam/v2/config</c>: the same object as the resource IPAMConfiguration.</summary>
internal sealed class IpamConfigMap(KubeResource resource) : SpecMap(resource, IpamKeys.Config)
{
    private const string Name = "default";

    // The two whose names differ.
    private static readonly (string InValue, string InSpec)[] Renamed =
        [("strict_affinity", "strictAffinity"), ("auto_allocate_blocks", "autoAllocateBlocks")];

    public override bool TryLocate(string key, out ObjectName name)
    {
        name = new ObjectName(null, Name);
        return key == Root;
    }

    public override string? KeyOf(KubeItem item) => item.Name == Name ? Root : null;

    public override byte[]? ValueOf(KubeItem item)
    {
        var value = SpecOf(item);
        foreach (var (inValue, inSpec) in Renamed)
        {
            if (value.Remove(inSpec, out var setting))
                value[inValue] = setting;
        }
        var bytes = JsonForms.Bytes(value);
        try
        {
            return IpamJson.WriteConfig(IpamJson.ParseConfig(bytes));
        }
        catch (FormatException)
        {
            return bytes;
        }
    }

    public override KubeWrite Put(KubeItem? existing, string key, ReadOnlyMemory<byte> value)
    {
        var config = Read(key, () => IpamJson.ParseConfig(value));
        var spec = SpecOf(existing);
        foreach (var (name, setting) in Parse(key, value))
        {
            if (Renamed.All(r => r.InValue != name))
                spec[name] = setting?.DeepClone();
        }
        spec["strictAffinity"] = config.StrictAffinity;
        spec["autoAllocateBlocks"] = config.AutoAllocateBlocks;
        Set(spec, "maxBlocksPerHost", config.MaxBlocksPerHost == 0 ? null : config.MaxBlocksPerHost);
        Set(spec, "kubeVirtVMAddressPersistence", config.KubeVirtVMAddressPersistence);
        Set(spec, "ipCooldownSeconds", config.IPCooldownSeconds == 0 ? null : config.IPCooldownSeconds);
        return Whole(existing, key, spec);
    }

    public override JsonObject Placeholder(string key)
    {
        var body = NewObject(key);
        body["spec"] = new JsonObject { ["strictAffinity"] = false, ["autoAllocateBlocks"] = true };
        return body;
    }
}
