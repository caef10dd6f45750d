using System.Collections.Immutable;
using Calico.Core.Net;

namespace Calico.Core.Policy.Index;

/// <summary>A port that an endpoint gives a name, as a container spec does.</summary>
public readonly record struct NamedPort(string Name, byte Protocol, ushort Port);

/// <summary>
/// Whatever owns labels and addresses in the eyes of rule selectors: a workload endpoint, a host endpoint or a network
/// set. Labels that a key repeats, the first counts.
/// </summary>
public sealed record LabelOwner
{
    public ImmutableArray<KeyValuePair<string, string>> Labels { get; init; } = [];

    /// <summary>Profiles whose labels it inherits, the first listed wins.</summary>
    public ImmutableArray<string> Profiles { get; init; } = [];

    /// <summary>/32 and /128 for endpoints, any network for network sets.</summary>
    public ImmutableArray<Cidr> Nets { get; init; } = [];

    public ImmutableArray<NamedPort> Ports { get; init; } = [];

    public bool Equals(LabelOwner? other) => other is not null
        && Labels.AsSpan().SequenceEqual(other.Labels.AsSpan())
        && Profiles.AsSpan().SequenceEqual(other.Profiles.AsSpan())
        && Nets.AsSpan().SequenceEqual(other.Nets.AsSpan()) && Ports.AsSpan().SequenceEqual(other.Ports.AsSpan());

    public override int GetHashCode() => HashCode.Combine(Labels.Length, Nets.Length, Nets.FirstOrDefault());

    /// <summary>What the owner adds to a set whose selector selects it; repetitions are possible and counted.</summary>
    internal IEnumerable<SetMember> Contribution(SetDefinition set)
    {
        if (set.Kind == SetKind.Selector)
        {
            foreach (var net in Nets)
            {
                // The kernel's sets cannot hold a zero length prefix; its two halves mean the same.
                if (net.PrefixLength != 0)
                {
                    yield return SetMember.Of(net);
                    continue;
                }
                var half = new Cidr(net.First, 1);
                yield return SetMember.Of(half);
                yield return SetMember.Of(new Cidr(net.Last, 1));
            }
            yield break;
        }
        foreach (var port in Ports)
        {
            if (port.Name != set.PortName || (set.Protocol != 0 && set.Protocol != port.Protocol))
                continue;
            foreach (var net in Nets)
                yield return SetMember.Of(net.Address, port.Protocol, port.Port);
        }
    }
}

/// <summary>The addresses behind a service and the ports they serve, as one EndpointSlice lists them.</summary>
/// <param name="Service"><c>namespace/name</c> of the service.</param>
public sealed record ServiceEndpoints(string Service, ImmutableArray<IpAddr> Addresses,
    ImmutableArray<(byte Protocol, ushort Port)> Ports)
{
    public bool Equals(ServiceEndpoints? other) => other is not null && Service == other.Service
        && Addresses.AsSpan().SequenceEqual(other.Addresses.AsSpan()) && Ports.AsSpan().SequenceEqual(other.Ports.AsSpan());

    public override int GetHashCode() => HashCode.Combine(Service, Addresses.Length);

    internal IEnumerable<SetMember> Contribution(SetKind kind) => kind == SetKind.ServiceAddresses
        ? Addresses.Select(SetMember.Of)
        : Addresses.SelectMany(a => Ports.Select(p => SetMember.Of(a, p.Protocol, p.Port)));
}
