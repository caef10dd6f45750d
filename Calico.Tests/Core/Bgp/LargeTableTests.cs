using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Tests.Core.Bgp;

/// <summary>Tables of more prefixes than are planned at a time, and of more than a page of an array.</summary>
[Layer("unit")]
public class LargeTableTests
{
    private const int Chunk = 700;
    private const int Chunks = 1 + ((ExportPlan.Limit + (ExportPlan.Limit / 2)) / Chunk);

    private readonly RibHarness _net = new();
    private readonly RibPeer _from = RibHarness.Peer(1, isInternal: false);

    [Fact]
    public void Peers_that_take_in_turns_hear_everything_and_then_its_loss()
    {
        _net.Up(_from);
        AnnounceAll();
        _net.Up(RibHarness.Peer(2, isInternal: true));
        _net.Up(RibHarness.Peer(3, isInternal: false));

        TakeAll();
        Assert.All(new ushort[] { 2, 3 }, peer => Assert.Equal(Chunk * Chunks, _net.Told(peer).Count));
        Assert.Equal(Chunk * Chunks, _net.Kernel.Count);

        _net.Down(1);
        TakeAll();
        Assert.All(new ushort[] { 2, 3 }, peer => Assert.Empty(_net.Told(peer)));
        Assert.Empty(_net.Kernel);
        Assert.Equal(0, _net.Rib.Prefixes(Families.Ipv4Unicast));
    }

    [Fact]
    public void Prefixes_that_change_all_the_time_do_not_hold_up_the_others()
    {
        _net.Up(_from);
        AnnounceAll();
        _net.Up(RibHarness.Peer(2, isInternal: true));

        for (var round = 1; _net.Told(2).Count < Chunk * Chunks && round < 20; round++)
        {
            // As many as are planned at a time, changed before each message.
            for (var chunk = 0; chunk * Chunk < ExportPlan.Limit; chunk++)
                Announce(chunk, (uint)round);
            _net.TakeSome(256 * 1024, int.MaxValue);
        }
        Assert.Equal(Chunk * Chunks, _net.Told(2).Count);
    }

    [Fact]
    public void Who_needs_no_best_routes_is_given_none()
    {
        _net.Rib.Reconfigure(new RibConfig(RibHarness.Own, RibHarness.OwnId) { HasBestReader = false });
        _net.Up(_from);
        _net.Up(RibHarness.Peer(2, isInternal: true));
        Announce(0, 1);

        Assert.False(_net.Rib.HasBestChanges);
        TakeAll();
        Assert.Equal(Chunk, _net.Told(2).Count);
        _net.Down(1);
        TakeAll();
        Assert.Empty(_net.Told(2));
        Assert.Equal(0, _net.Rib.Prefixes(Families.Ipv4Unicast));
    }

    [Fact]
    public void What_lies_in_a_paged_array_stays_where_it_is()
    {
        var array = new PagedArray<long>();
        while (array.Length < 20_000)
            array.Grow();
        for (var i = 0; i < array.Length; i++)
            array[i] = i;
        ref var early = ref array[9_000];
        for (var i = 0; i < 3; i++)
            array.Grow();
        early = -1;

        Assert.Equal(-1, array[9_000]);
        Assert.Equal(19_999, array[19_999]);
        Assert.Equal(0, array[^1]);
    }

    private void TakeAll()
    {
        while (_net.TakeSome(200_000, 10_000))
        {
        }
    }

    private void AnnounceAll()
    {
        for (var chunk = 0; chunk < Chunks; chunk++)
            Announce(chunk, 0);
    }

    private void Announce(int chunk, uint med) => _net.Announce(_from,
        new PathAttributes { AsPath = AsPath.Sequence(_from.As.Value, (uint)(chunk % 50) + 1), Med = med }, _from.Address,
        [.. Enumerable.Range(0, Chunk).Select(i => new Cidr(IpAddr.FromV4((11u << 24) + ((uint)((chunk * Chunk) + i) << 8)), 24))]);
}
