using System.Collections.Immutable;
using Calico.Actors.Bgp;
using Calico.Actors.Routing;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Model.Validation;
using Calico.Core.Net;
using Calico.Datastore.Manifests;

namespace Calico.Node.Bgp;

/// <summary>The file of a speaker outside a cluster cannot be used; the message says where and why, one line an error.</summary>
internal sealed class SpeakerFileException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>
/// What a speaker outside a cluster is configured by: a file of Node, BGPConfiguration, BGPPeer and BGPFilter resources, as
/// <c>calicoctl get -o yaml</c> writes them. It listens on the addresses that its Node names, never on all.
/// </summary>
internal static class SpeakerFile
{
    private static readonly ImmutableArray<ResourceKind> Kinds = [ResourceKind.Node, ResourceKind.BGPConfiguration, ResourceKind.BGPPeer, ResourceKind.BGPFilter];

    /// <exception cref="SpeakerFileException">With every error found.</exception>
    public static SpeakerConfig Load(string path, string node, RoutingOptions? options = null)
    {
        try
        {
            return Parse(File.ReadAllText(path), path, node, options);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new SpeakerFileException($"{path}: cannot be read: {e.Message}", e);
        }
    }

    /// <inheritdoc cref="Load"/>
    /// <param name="text">YAML or JSON.</param>
    /// <param name="name">What errors call it.</param>
    /// <param name="node">The Node resource that is this speaker.</param>
    /// <param name="options">What the environment says.</param>
    public static SpeakerConfig Parse(string text, string name, string node, RoutingOptions? options = null)
    {
        var inputs = new PeeringInputs(node) { IsAlone = true, RouterId = options?.RouterId, LongLivedTime = options?.LongLivedTime ?? default, Bfd = options?.Bfd, Secret = new SecretFiles(options?.SecretsDirectory).Read, SecretsDirectory = options?.SecretsDirectory };
        var problems = new List<string>();
        var places = new Dictionary<(ResourceKind Kind, string Name), string>();
        foreach (var document in Documents(text, name))
        {
            try
            {
                var resource = Read(document);
                var place = document.Locate("metadata.name");
                if (!places.TryAdd((resource.ResourceKind, resource.Name), place))
                    problems.Add($"{place}: {resource}: is in the file already, at {places[(resource.ResourceKind, resource.Name)]}; give one of both another name");
                inputs = With(inputs, resource);
            }
            catch (InvalidResourceException e)
            {
                problems.AddRange(e.Errors.Select(error => $"{document.Locate(error.Path)}: {e.Subject}: {error}"));
            }
        }
        problems.AddRange(Peering.MissingFilters(inputs).Select(f => $"{name}: a BGPPeer names BGPFilter '{f}', which is not in the file"));
        problems.AddRange(Peering.Ineffective(inputs).Select(p => $"{name}: BGPPeer '{p.Peer}': {p.Problem}"));
        if (problems.Count > 0)
            throw new SpeakerFileException(string.Join('\n', problems));
        if (!inputs.Nodes.ContainsKey(node))
            throw new SpeakerFileException($"{name}: has no Node '{node}'; its Nodes are: {(inputs.Nodes.IsEmpty ? "none" : string.Join(", ", inputs.Nodes.Keys))}");
        if (!Peering.TryOf(inputs, out var config, out var why))
            throw new SpeakerFileException($"{name}: {why}");
        if (config.LocalAs.Value == 0 || config.Peers.Any(p => p.LocalAs is { Value: 0 }))
            throw new SpeakerFileException($"{name}: 0 is nobody's AS number (RFC 7607); set asNumber of Node '{node}' or of BGPConfiguration 'default', and localASNumber of BGPPeers, to another or leave it out");
        return config with
        {
            ListenAddresses = [.. new[] { config.AddressV4, config.AddressV6 }.OfType<IpAddr>()],
        };
    }

    private static IReadOnlyList<ManifestDocument> Documents(string text, string name)
    {
        try
        {
            return ManifestReader.Read(text, name);
        }
        catch (ManifestException e)
        {
            throw new SpeakerFileException(e.Message, e);
        }
    }

    private static Resource Read(ManifestDocument document)
    {
        var resource = ResourceDefaults.Apply(ResourceCodec.ParseStrict(document.Json));
        if (!Kinds.Contains(resource.ResourceKind))
            throw new InvalidResourceException(resource.ToString(), [new FieldError("kind", null, $"{resource.ResourceKind.Kind} means nothing to a speaker; it reads {string.Join(", ", Kinds.Select(k => k.Kind))}")]);
        ResourceValidator.Check(resource);
        return resource;
    }

    private static PeeringInputs With(PeeringInputs inputs, Resource resource) => resource switch
    {
        NodeResource node => inputs with { Nodes = inputs.Nodes.SetItem(node.Name, node) },
        BGPConfiguration configuration => inputs with { Configurations = inputs.Configurations.SetItem(configuration.Name, configuration) },
        BGPFilter filter => inputs with { Filters = inputs.Filters.SetItem(filter.Name, filter) },
        BGPPeer peer => inputs with { Peers = inputs.Peers.SetItem(peer.Name, peer) },
        _ => inputs,
    };
}
