using System.Collections.Immutable;
using Calico.Core.Model.Selectors;
using Calico.Core.Net;
using Calico.Core.Policy;
using Calico.Core.Policy.Index;
using static Calico.Tests.Core.Policy.PolicyItems;

namespace Calico.Tests.Core.Policy;

/// <summary>Whatever rules there are, the graph and the rendered chains must decide alike, in both families.</summary>
[Layer("unit")]
public class RandomRuleTests
{
    private static readonly byte[] Protocols = [IpProtocol.Tcp, IpProtocol.Udp, IpProtocol.Sctp, IpProtocol.Icmp, IpProtocol.IcmpV6, 47];
    private static readonly string[] V4 = ["10.0.0.1", "10.0.0.2", "10.0.1.3", "192.0.2.1"];
    private static readonly string[] V6 = ["fd00::1", "fd00::2", "fd00::1:3", "2001:db8::1"];

    private static readonly SetDefinition[] Sets =
    [
        SetIds.OfSelector(Selector.Parse("app == 'a'")), SetIds.OfSelector(Selector.Parse("app == 'b'")), SetIds.OfSelector(Selector.All),
    ];

    private static readonly SetDefinition[] PortSets =
        [SetIds.OfNamedPort(Selector.All, 0, "p"), SetIds.OfNamedPort(Selector.Parse("app == 'a'"), IpProtocol.Tcp, "p")];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    public void Random_policies_are_rendered_with_the_meaning_they_have_in_the_graph(int seed)
    {
        var random = new Random(seed);
        var (allowed, denied) = (0, 0);
        for (var round = 0; round < 40; round++)
        {
            var world = World(random);
            foreach (var i in Enumerable.Range(0, random.Next(1, 4)))
                world.Put($"policy/{i}", Policy(random, $"p{i}", i % 2 == 0 ? "default" : "other"));
            world.Settle();
            for (var probe = 0; probe < 40; probe++)
            {
                var packet = Packet(random);
                var decided = world.Decide("default/w", "default/w", packet);
                if (decided != world.Walk("default/w", "default/w", packet))
                    Assert.Fail($"seed {seed} round {round}: {packet}: graph {decided}, rules {world.Forward("eth0", "calidw", packet)}\n{world.Picture()}");
                allowed += decided.Ingress ? 1 : 0;
                denied += decided.Ingress ? 0 : 1;
            }
        }
        Assert.True(allowed > 100 && denied > 100, $"{allowed} allowed, {denied} denied");
    }

    private static PolicyWorld World(Random random)
    {
        var world = new PolicyWorld();
        world.Put("tier/default", new TierState("default", 100, random.Next(2) == 0));
        world.Put("tier/other", new TierState("other", 50, random.Next(2) == 0));
        world.Put("profile/kns.default", AllowNamespace);
        world.Put("wep/w", Workload("w", "10.9.9.9"));
        for (var i = 0; i < 3; i++)
        {
            world.Put($"peer/{i}", new LabelOwner
            {
                Labels = Labels(("app", i == 0 ? "a" : "b")),
                Nets = [Cidr.Host(IpAddr.Parse(V4[i])), Cidr.Host(IpAddr.Parse(V6[i]))],
                Ports = [new("p", IpProtocol.Tcp, 80), new("p", IpProtocol.Udp, 53)],
            });
        }
        return world;
    }

    private static CompiledPolicy Policy(Random random, string name, string tier) => Global(name, "all()", random.Next(3), tier) with
    {
        Ingress = [.. Enumerable.Range(0, random.Next(1, 5)).Select(_ => Rule(random))],
        Egress = [.. Enumerable.Range(0, random.Next(1, 5)).Select(_ => Rule(random))],
        Sets = [.. Sets, .. PortSets],
    };

    private static CompiledRule Rule(Random random)
    {
        byte? protocol = random.Next(3) == 0 ? null : Protocols[random.Next(Protocols.Length)];
        var icmp = protocol is IpProtocol.Icmp or IpProtocol.IcmpV6;
        return new CompiledRule
        {
            Action = (RuleAction)random.Next(4),
            IpVersion = random.Next(6) switch { 0 => IpVersion.V4, 1 => IpVersion.V6, _ => null },
            Protocol = protocol,
            NotProtocol = protocol is null && random.Next(2) == 0 ? Protocols[random.Next(Protocols.Length)] : null,
            Icmp = icmp && random.Next(2) == 0 ? new IcmpMatch((byte)random.Next(8, 10), random.Next(2) == 0 ? (byte)0 : null) : null,
            NotIcmp = icmp && random.Next(2) == 0 ? new IcmpMatch((byte)random.Next(8, 10), random.Next(2) == 0 ? (byte)0 : null) : null,
            Source = Entity(random, protocol),
            Destination = Entity(random, protocol),
        };
    }

    private static EntityMatch Entity(Random random, byte? protocol)
    {
        var ports = protocol is { } p && IpProtocol.HasPorts(p);
        return new EntityMatch
        {
            Nets = Some(random, Net, 5),
            NotNets = Some(random, Net, 8),
            Sets = Some(random, r => Sets[r.Next(Sets.Length)].Id, 5),
            NotSets = Some(random, r => Sets[r.Next(2)].Id, 8),
            Ports = ports ? Some(random, Port, 3) : [],
            NotPorts = ports ? Some(random, Port, 8) : [],
            NamedPorts = Some(random, r => PortSets[r.Next(2)].Id, 6),
            NotNamedPorts = ports ? Some(random, r => PortSets[r.Next(2)].Id, 8) : [],
        };
    }

    private static Cidr Net(Random random) => Cidr.Parse(new[]
    {
        "10.0.0.0/24", "10.0.0.1/32", "10.0.0.0/8", "192.0.2.0/24", "fd00::/112", "fd00::1/128", "2001:db8::/32", "fd00::/8",
    }[random.Next(8)]);

    private static PortRange Port(Random random) => new[] { new PortRange(80, 80), new PortRange(53, 90), new PortRange(1000, 2000), new PortRange(40000, 40000) }[random.Next(4)];

    // Mostly nothing, sometimes one, at times several.
    private static ImmutableArray<T> Some<T>(Random random, Func<Random, T> make, int rarity) => random.Next(rarity) switch
    {
        0 => [make(random)],
        1 when random.Next(2) == 0 => [make(random), make(random)],
        _ => [],
    };

    private static PolicyPacket Packet(Random random)
    {
        var addresses = random.Next(2) == 0 ? V4 : V6;
        return new PolicyPacket(IpAddr.Parse(addresses[random.Next(4)]), IpAddr.Parse(addresses[random.Next(4)]),
            Protocols[random.Next(Protocols.Length)], random.Next(2) == 0 ? 40000 : 80, new[] { 80, 53, 1500, 443 }[random.Next(4)],
            (byte)random.Next(8, 11), (byte)random.Next(2));
    }
}
