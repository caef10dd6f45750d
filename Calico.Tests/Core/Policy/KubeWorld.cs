using System.Text.Json;
using System.Text.Json.Nodes;
using Calico.Core.Model.Kubernetes;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Core.Policy;
using Calico.Core.Policy.Graph;
using Calico.Core.Policy.Index;

namespace Calico.Tests.Core.Policy;

/// <summary>
/// A Kubernetes cluster on one node over a <see cref="PolicyWorld"/>: namespaces, pods and network policies go through
/// the conversion that the product uses.
/// </summary>
internal sealed class KubeWorld
{
    private readonly Dictionary<(string Ns, string Name), CompiledPolicy> _policies = [];
    private readonly Dictionary<(string Ns, string Name), (JsonObject Pod, WorkloadEndpoint Endpoint)> _pods = [];

    public KubeWorld()
    {
        foreach (var tier in Tier.BuiltIn)
            World.Put("tier/" + tier.Name, PolicyCompiler.TierOf(tier));
    }

    public PolicyWorld World { get; } = new();

    public void Namespace(string name, IEnumerable<KeyValuePair<string, string>> labels)
    {
        var all = labels.Append(new("kubernetes.io/metadata.name", name)).DistinctBy(l => l.Key);
        var json = Object(name, null, all);
        Profile(ProfileConversion.FromNamespace(KubeCodec.Decode<KubeNamespace>(Element(json))));
        Profile(ProfileConversion.FromServiceAccount(KubeCodec.Decode<KubeServiceAccount>(Element(Object("default", name, [])))));
    }

    public void DeleteNamespace(string name)
    {
        foreach (var pod in _pods.Keys.Where(p => p.Ns == name).ToList())
            DeletePod(pod.Ns, pod.Name);
        foreach (var policy in _policies.Keys.Where(p => p.Ns == name).ToList())
            DeletePolicy(policy.Ns, policy.Name);
        World.Remove($"profile/kns.{name}", new CompiledProfile { Name = $"kns.{name}", Revision = 0 });
        World.Remove($"profile/ksa.{name}.default", new CompiledProfile { Name = $"ksa.{name}.default", Revision = 0 });
    }

    public void Pod(string ns, string name, string ip, IEnumerable<KeyValuePair<string, string>> labels,
        IEnumerable<(string Name, int Port, string Protocol)> ports)
    {
        var pod = Object(name, ns, labels);
        pod["spec"] = new JsonObject
        {
            ["nodeName"] = "node1",
            ["serviceAccountName"] = "default",
            ["containers"] = new JsonArray(new JsonObject
            {
                ["name"] = "c",
                ["ports"] = new JsonArray([.. ports.Select(p => (JsonNode)new JsonObject
                {
                    ["name"] = p.Name,
                    ["containerPort"] = p.Port,
                    ["protocol"] = p.Protocol,
                })]),
            }),
        };
        pod["status"] = new JsonObject { ["podIP"] = ip, ["podIPs"] = new JsonArray(new JsonObject { ["ip"] = ip }) };
        Put(ns, name, pod);
    }

    public void PodLabels(string ns, string name, Func<JsonObject, JsonObject> change)
    {
        var pod = _pods[(ns, name)].Pod;
        pod["metadata"]!["labels"] = change((JsonObject)pod["metadata"]!["labels"]!.DeepClone());
        Put(ns, name, pod);
    }

    public void DeletePod(string ns, string name)
    {
        if (_pods.Remove((ns, name), out var pod))
            World.Remove($"wep/{ns}/{name}", new PolicyWorld.Workload(LocalEndpoint.Of(pod.Endpoint), LabelOwners.Of(pod.Endpoint)));
    }

    public void Policy(JsonElement json)
    {
        var policy = KubeCodec.Decode<KubeNetworkPolicy>(json);
        var converted = PolicyConversion.FromNetworkPolicy(policy);
        Assert.Empty(converted.Problems);
        var (ns, name) = (policy.Metadata.Namespace!, policy.Metadata.Name!);
        Assert.True(PolicyCompiler.TryCompile(new PolicyKey(PolicyKey.KubernetesNetworkPolicy, ns, name),
            converted.Policy!.Spec, 1, out var compiled, out var error), error);
        _policies[(ns, name)] = compiled!;
        World.Put($"policy/{ns}/{name}", compiled!);
    }

    public void DeletePolicy(string ns, string name)
    {
        if (_policies.Remove((ns, name), out var policy))
            World.Remove($"policy/{ns}/{name}", policy);
    }

    /// <summary>Whether a new connection gets through, by the graph and by the rendered rules; they must agree.</summary>
    public bool Connects((string Ns, string Name) from, (string Ns, string Name) to, string protocol, int port)
    {
        var (source, destination) = (_pods[from].Endpoint, _pods[to].Endpoint);
        var packet = new PolicyPacket(Address(source), Address(destination),
            IpProtocol.TryParse(protocol, out var number) ? number : (byte)0, 40000, port);
        var (egress, ingress) = World.Decide(Id(source), Id(destination), packet);
        var walk = World.Forward(source.Spec.InterfaceName!, destination.Spec.InterfaceName!, packet);
        if (walk.Accepted != (egress && ingress))
            Assert.Fail($"{from} -> {to} {protocol}/{port}: graph says {egress}/{ingress}, rules say {walk}");
        return walk.Accepted;
    }

    private void Put(string ns, string name, JsonObject pod)
    {
        var converted = PodConversion.Convert(KubeCodec.Decode<KubePod>(Element(pod)));
        Assert.True(converted.Endpoint is not null, converted.Problem);
        _pods[(ns, name)] = (pod, converted.Endpoint!);
        World.Put($"wep/{ns}/{name}", new PolicyWorld.Workload(LocalEndpoint.Of(converted.Endpoint!), LabelOwners.Of(converted.Endpoint!)));
    }

    private void Profile(Profile profile)
    {
        Assert.True(PolicyCompiler.TryCompile(profile, 1, out var compiled, out var error), error);
        World.Put("profile/" + profile.Name, compiled!);
    }

    private static string Id(WorkloadEndpoint endpoint) => LocalEndpoint.Of(endpoint).Id;

    private static IpAddr Address(WorkloadEndpoint endpoint) => LabelOwners.Of(endpoint).Nets[0].Address;

    private static JsonObject Object(string name, string? ns, IEnumerable<KeyValuePair<string, string>> labels)
    {
        var metadata = new JsonObject { ["name"] = name, ["labels"] = new JsonObject(labels.Select(l => new KeyValuePair<string, JsonNode?>(l.Key, l.Value))) };
        if (ns is not null)
            metadata["namespace"] = ns;
        return new JsonObject { ["metadata"] = metadata };
    }

    private static JsonElement Element(JsonObject json) => JsonSerializer.SerializeToElement(json);
}
