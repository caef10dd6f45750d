using Calico.Core.Ipam;
using Calico.Core.Net;

namespace Calico.Tests.Actors.Ipam;

/// <summary>What must hold.</summary>
internal sealed partial class LeaseModel
{
    public void Check()
    {
        foreach (var key in Keys(IpamKeys.BlockPrefix))
        {
            var block = IpamJson.ParseBlock(Get(key)!.Value);
            Assert.Equal(block.Capacity, block.AllocatedCount + block.FreeCount);
            Assert.Equal(block.FreeCount, block.Unallocated.Distinct().Count());
            var holders = Nodes.Where(n => Get(IpamKeys.Affinity(n.Name, block.Cidr)) is not null).Select(n => n.Name);
            Assert.Equal(block.AffineHost is { } holder ? [holder] : [], holders);
        }
    }

    public void CheckEverythingIsAccountedFor()
    {
        foreach (var key in Keys(IpamKeys.HostPrefix))
        {
            Assert.Equal("confirmed", IpamJson.ParseAffinityState(Get(key)!.Value));
            Assert.True(IpamKeys.TryParseAffinity(key, out var host, out var cidr));
            Assert.True(Nodes.Single(n => n.Name == host).Ledger.Held.Holds(cidr), $"{host} does not know that it holds {cidr}");
        }
        var assigned = Keys(IpamKeys.BlockPrefix).SelectMany(k => IpamJson.ParseBlock(Get(k)!.Value).Assigned())
            .Where(a => a.Owner.ReleasedAt is null).Select(a => (a.Address, a.Owner.HandleId!)).Order().ToList();
        var running = Nodes.SelectMany(n => n.Pods).Select(p => (p.Value, p.Key)).Order().ToList();
        Assert.Equal(running, assigned);
        Assert.Equal(running.Select(r => IpamKeys.Handle(r.Key)).Order(StringComparer.Ordinal), Keys(IpamKeys.HandlePrefix));
        Assert.Equal(running.Select(r => EndpointPrefix + r.Key).Order(StringComparer.Ordinal), Keys(EndpointPrefix).Order(StringComparer.Ordinal));
        foreach (var (address, handle) in running)
            Assert.Equal([new KeyValuePair<string, int>(BlockCandidates.Containing(address, Pool.BlockSize).ToString(), 1)], IpamJson.ParseHandle(Get(IpamKeys.Handle(handle))!.Value));
    }
}
