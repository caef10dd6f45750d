using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore;

namespace Calico.Tests.Ctl;

[Layer("unit")]
public sealed class IpamResizeCommandTests : IpamCommandFixture
{
    private static readonly string PoolKey = new ResourceKey(ResourceKind.IPPool, null, "pool").Path;
    private static readonly Cidr Far = Cidr.Parse("10.65.128.0/29");

    [Fact]
    public async Task A_pool_is_extended_in_one_write_and_what_is_assigned_stays()
    {
        await StoreAsync([(Used, "net.web", "node1")]);

        var plan = await ResizeAsync("10.64.0.0/15", "--dry-run");
        var before = await CidrAsync();
        var result = await ResizeAsync("10.64.0.0/15");

        Assert.Equal((0, "10.65.0.0/16"), (plan.ExitCode, before));
        Assert.Contains("pool: 10.65.0.0/16 (65536 addresses) -> 10.64.0.0/15 (131072 addresses): 1 blocks stay, 0 join, 0 empty ones are taken back, 0 are in the way; possible.",
            plan.Out, StringComparison.Ordinal);
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.Equal("10.64.0.0/15", await CidrAsync());
        Assert.DoesNotContain("resized-from", await PoolTextAsync(), StringComparison.Ordinal);
        Assert.Equal(0, (await Calicoctl.RunAsync("ipam audit")).ExitCode);
    }

    [Fact]
    public async Task Shrinking_takes_back_the_empty_blocks_outside_with_their_affinities()
    {
        await StoreAsync([(Used, "net.web", "node1")]);
        await StoreBlockAsync(Far);

        var result = await ResizeAsync("10.65.0.0/17");

        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.Contains($"| {Far} | host:node2 ", result.Out, StringComparison.Ordinal);
        Assert.Equal("10.65.0.0/17", await CidrAsync());
        Assert.Null(await Calicoctl.Datastore.GetAsync(IpamKeys.Block(Far)));
        Assert.Null(await Calicoctl.Datastore.GetAsync(IpamKeys.Affinity("node2", Far)));
        Assert.Single((await BlockAsync()).Assigned());
        Assert.Equal(0, (await Calicoctl.RunAsync("ipam audit")).ExitCode);
    }

    [Fact]
    public async Task Whatever_is_in_use_outside_refuses_with_its_name_and_nothing_is_written()
    {
        await StoreAsync([(Used, "net.web", "node1")]);
        await StoreBlockAsync(Far, "10.65.128.1");
        var before = Calicoctl.Datastore.Revision;

        var result = await ResizeAsync("10.65.0.0/17");

        Assert.Equal((1, before), (result.ExitCode, Calicoctl.Datastore.Revision));
        Assert.Contains("refused: block 10.65.128.0/29 of host:node2 would be outside and has addresses that are not free: 10.65.128.1 (shop/far)", result.Out, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("10.66.0.0/16", "has no address in common with 10.65.0.0/16")]
    [InlineData("10.65.0.0/30", "is smaller than a block of the pool, which is a /29")]
    [InlineData("10.65.0.1/16", "has bits behind its prefix: 10.65.0.0/16 is meant, perhaps")]
    [InlineData("fd00::/64", "is of another family")]
    public async Task A_cidr_that_makes_no_sense_is_refused(string cidr, string expected)
    {
        await StoreAsync([]);

        var result = await ResizeAsync(cidr);

        Assert.Equal(1, result.ExitCode);
        Assert.Contains(expected, result.Out, StringComparison.Ordinal);
        Assert.Equal("10.65.0.0/16", await CidrAsync());
    }

    [Fact]
    public async Task Another_pool_in_the_way_is_named_with_what_would_be_shared_by_plan_and_by_apply()
    {
        const string other = """
            apiVersion: projectcalico.org/v3
            kind: IPPool
            metadata: {name: other}
            spec: {cidr: CIDR}
            """;
        await StoreAsync([]);
        await Calicoctl.RunAsync("apply -f -", other.Replace("CIDR", "10.64.0.0/24", StringComparison.Ordinal));

        var plan = await ResizeAsync("10.64.0.0/15", "--dry-run");
        var overlapping = await Calicoctl.RunAsync("apply -f -", other.Replace("other", "third", StringComparison.Ordinal).Replace("CIDR", "10.65.4.0/24", StringComparison.Ordinal));
        var changed = await Calicoctl.RunAsync("apply -f -", other.Replace("CIDR", "10.64.0.0/23", StringComparison.Ordinal));

        Assert.Equal((1, 1, 1), (plan.ExitCode, overlapping.ExitCode, changed.ExitCode));
        Assert.Contains("pool as 10.64.0.0/15 overlaps pool other (10.64.0.0/24): they would share 10.64.0.0/24, 256 addresses", plan.Out, StringComparison.Ordinal);
        Assert.Contains("third overlaps pool pool (10.65.0.0/16): they would share 10.65.4.0/24, 256 addresses", overlapping.Error, StringComparison.Ordinal);
        Assert.Contains("calicoctl ipam resize other --cidr=10.64.0.0/23 --dry-run", changed.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_change_that_was_interrupted_goes_on_where_it_broke_off_and_another_is_refused_until_then()
    {
        await StoreAsync([(Used, "net.web", "node1")]);
        await StoreBlockAsync(Far);
        await InterruptAsync();

        var another = await ResizeAsync("10.65.0.0/18");
        var again = await ResizeAsync("10.65.0.0/17");

        Assert.Equal(1, another.ExitCode);
        Assert.Contains("pool pool is being changed from 10.65.0.0/16 to 10.65.0.0/17", another.Error, StringComparison.Ordinal);
        Assert.Equal((0, ""), (again.ExitCode, again.Error));
        Assert.Null(await Calicoctl.Datastore.GetAsync(IpamKeys.Block(Far)));
        Assert.DoesNotContain("resized-from", await PoolTextAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_address_that_is_given_out_meanwhile_brings_the_old_cidr_back()
    {
        await StoreAsync([]);
        await StoreBlockAsync(Far);
        var writes = 0;
        Calicoctl.Datastore.BeforeCommit = async _ =>
        {
            // After the pool's new CIDR, before the block is taken back.
            if (++writes != 2)
                return;
            Calicoctl.Datastore.BeforeCommit = null;
            await StoreBlockAsync(Far, "10.65.128.1");
        };

        var result = await ResizeAsync("10.65.0.0/17");

        Assert.Equal(1, result.ExitCode);
        Assert.Contains("something changed meanwhile, and pool pool has its CIDR 10.65.0.0/16 again", result.Error, StringComparison.Ordinal);
        Assert.Equal("10.65.0.0/16", await CidrAsync());
        Assert.DoesNotContain("resized-from", await PoolTextAsync(), StringComparison.Ordinal);
    }

    private async Task InterruptAsync()
    {
        var writes = 0;
        Calicoctl.Datastore.BeforeCommit = _ => ++writes == 2 ? throw new DatastoreException(DatastoreFault.Unavailable, "killed") : Task.CompletedTask;
        Assert.Equal(1, (await ResizeAsync("10.65.0.0/17")).ExitCode);
        Calicoctl.Datastore.BeforeCommit = null;
        Assert.Equal("10.65.0.0/17", await CidrAsync());
        Assert.Contains("\"projectcalico.org/resized-from\":\"10.65.0.0/16\"", await PoolTextAsync(), StringComparison.Ordinal);
    }

    private Task<CommandResult> ResizeAsync(string cidr, string more = "--settle=0") => Calicoctl.RunAsync($"ipam resize pool --cidr={cidr} {more}");

    private async Task<string> CidrAsync()
    {
        var stored = (await Calicoctl.Datastore.GetAsync(PoolKey))!;
        return ((IPPool)ResourceCodec.Decode(ResourceKind.IPPool, stored.Value.Span)).Spec.Cidr!;
    }

    private async Task<string> PoolTextAsync() => System.Text.Encoding.UTF8.GetString((await Calicoctl.Datastore.GetAsync(PoolKey))!.Value.Span);

    private async Task StoreBlockAsync(Cidr cidr, params string[] assigned)
    {
        var block = IpamBlock.Create(cidr, "host:node2", DateTimeOffset.UnixEpoch);
        foreach (var address in assigned)
            block.Assign(IpAddr.Parse(address), new AllocationAttributes("net.far", new Dictionary<string, string> { ["node"] = "node2", ["namespace"] = "shop", ["pod"] = "far" }));
        await PutAsync(IpamKeys.Block(cidr), IpamJson.WriteBlock(block));
        await PutAsync(IpamKeys.Affinity("node2", cidr), IpamJson.WriteAffinity("confirmed"));
    }
}
