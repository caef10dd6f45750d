using System.Collections.Immutable;
using System.Text.Json;
using Akka.Actor;
using Calico.Actors.Gateway;
using Calico.Actors.Ipam;
using Calico.Core.Feed;
using Calico.Core.Ipam;
using Calico.Core.Model;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Ctl;
using Calico.Ctl.Commands.Ipam;
using Calico.Datastore;
using Xunit.Abstractions;
using static Calico.Tests.Actors.Ipam.TableRow;

namespace Calico.Tests.Actors.Ipam;

/// <summary>
/// Replays upstream's tables of assignments, releases and claims: a lease for each host and real owners of blocks over one
/// datastore, calicoctl's release, row after row. After each row the audit must be clean but for who uses the addresses.
/// </summary>
[Layer("conformance")]
public class AddressTableTests(ITestOutputHelper output) : LeaseFixture(output)
{
    private readonly Dictionary<string, IActorRef> _leases = [];
    private readonly Dictionary<string, int> _limits = [];
    private ImmutableArray<IPPool> _pools = [];
    private int _pods;

    [SkippableFact]
    public Task AssignIP_answers_as_upstream() => ReplayAsync(RowsOf("AssignIP"), AssignIPAsync);

    private async Task<string?> AssignIPAsync(JsonElement args)
    {
        await PrepareAsync(args, [.. args.GetProperty("pool").EnumerateArray().Select((c, i) => MakePool(i, c.GetString()!))]);
        var address = IpAddr.Parse(args.GetProperty("inIP").GetString());
        var error = await AssignAsync(args.GetProperty("host").GetString()!, address);
        return (error is not null) == IsThere(args, "expError") ? null : $"{address}: {error ?? "assigned"}";
    }

    [SkippableFact]
    public Task AutoAssign_gives_as_many_as_upstream() => ReplayAsync(RowsOf("AutoAssign"), AutoAssignAsync);

    private async Task<string?> AutoAssignAsync(JsonElement args)
    {
        await PrepareAsync(args, [.. args.GetProperty("pools").EnumerateArray().Select((p, i) => MakePool(i, Text(p, "CIDR")!, Number(p, "BlockSize"),
            Find(p, "Enabled") is not { ValueKind: JsonValueKind.False }, [.. Items(p, "AllowedUses")]))]);
        var (cidr, use) = Wish(args.GetProperty("usePool").GetString()!);
        var isStrict = Find(args, "strictAffinity") is { ValueKind: JsonValueKind.True };
        await ConfigureAsync(isStrict);
        var host = args.GetProperty("host").GetString()!;
        var failed = false;
        var answers = new List<string>();
        foreach (var (count, family, expected) in new[] { (Number(args, "inv4"), IpVersion.V4, "expv4ia"), (Number(args, "inv6"), IpVersion.V6, "expv6ia") })
        {
            string[] named = cidr is { } c && c.Version == family ? [c.ToString()] : [];
            var pools = PoolChoice.For(_pools.Where(p => Cidr.Parse(p.Spec.Cidr).Version == family), named,
                new Dictionary<string, string>(), new Dictionary<string, string>(), out var error, use);
            failed |= count > 0 && error is not null;
            var got = error is null && count > 0 && !pools.IsEmpty ? await AllocateAsync(host, count, family, pools, Number(args, "blockLimit")) : 0;
            var wanted = Find(args, expected) is { ValueKind: not JsonValueKind.Null } w
                ? w.ValueKind == JsonValueKind.Number ? w.GetInt32() : Number(w, "count") + (Find(w, "IPs") is { ValueKind: JsonValueKind.Array } ips ? ips.GetArrayLength() : 0) : 0;
            if (got != wanted)
                answers.Add($"{family}: {got} of {count} instead of {wanted} {error}");
        }
        if (failed != IsThere(args, "expError"))
            answers.Add(failed ? "refused" : "not refused");
        return answers.Count == 0 ? null : string.Join("; ", answers);
    }

    [SkippableFact]
    public Task ReleaseIPs_takes_back_what_upstream_does() => ReplayAsync(RowsOf("ReleaseIPs"), ReleaseIPsAsync);

    private async Task<string?> ReleaseIPsAsync(JsonElement args)
    {
        await PrepareAsync(args, PoolsOf(args));
        var given = new List<IpAddr>();
        if (Text(args, "assignIP") is { Length: > 0 } wanted)
        {
            given.Add(IpAddr.Parse(wanted));
            await AssignAsync("host-a", given[0]);
        }
        var number = Number(args, "autoAssignNumIPv4");
        if (number > 0)
        {
            var before = (await AssignedAsync()).Keys.ToHashSet();
            await AllocateAsync("host-a", number, IpVersion.V4, [.. PoolChoice.All(_pools).Where(p => p.Cidr.IsV4)], 0);
            given.AddRange((await AssignedAsync()).Keys.Where(a => !before.Contains(a)).Select(a => IpAddr.Parse(a)));
        }
        ImmutableArray<IpAddr> released = Text(args, "inIP") is { Length: > 0 } one ? [IpAddr.Parse(one)] : [.. given];
        using var calicoctl = new StringWriter();
        var result = await new AddressRelease(Store, Context(calicoctl)).ReleaseAsync([.. released.Select(a => new ReleaseRequest(a))], default);
        var left = (await AssignedAsync()).Keys.ToHashSet();
        var unallocated = Find(args, "expUnallocatedIPs") is { ValueKind: JsonValueKind.Array } list ? list.GetArrayLength() : 0;
        return (result.Error is not null) != IsThere(args, "expError") ? $"error: {result.Error}"
            : result.Unallocated != unallocated ? $"{result.Unallocated} were not allocated instead of {unallocated}"
            : released.FirstOrDefault(a => left.Contains(a.ToString())) is var kept && left.Contains(kept.ToString()) ? $"{kept} is still assigned" : null;
    }

    [SkippableFact]
    public Task ClaimAffinity_claims_the_blocks_that_upstream_does() => ReplayAsync(RowsOf("ClaimAffinity"), ClaimAffinityAsync);

    private async Task<string?> ClaimAffinityAsync(JsonElement args)
    {
        await PrepareAsync(args, PoolsOf(args));
        if (Text(args, "assignIP") is { Length: > 0 } wanted)
            await AssignAsync("host-a", IpAddr.Parse(wanted));
        var network = Cidr.Parse(args.GetProperty("inNet").GetString()).Network;
        var (claimed, refused, error) = await ClaimAsync(network, args.GetProperty("host").GetString()!);
        return (error is not null) != IsThere(args, "expError") ? error ?? "not refused"
            : claimed == Count(args, "expClaimedIPs") && refused == Count(args, "expFailedIPs") ? null
            : $"{claimed} claimed and {refused} refused instead of {Count(args, "expClaimedIPs")} and {Count(args, "expFailedIPs")}";
    }

    // ---- rows of our own, for the tables that may be absent --------------------------------------------------------------

    private const string OwnPools = """[{"CIDR":"10.7.0.0/26","BlockSize":28,"Enabled":true},{"CIDR":"10.8.0.0/26","BlockSize":28,"Enabled":false},{"CIDR":"10.9.0.0/26","BlockSize":28,"Enabled":true,"AllowedUses":["Tunnel"]},{"CIDR":"fd00:7::/120","BlockSize":122,"Enabled":true}]""";

    [Fact]
    public Task Addresses_are_given_until_pools_blocks_or_hosts_are_exhausted() => ReplayAsync(Parse($$"""
        [{"id":"one of each","args":{"host":"a","cleanEnv":true,"pools":{{OwnPools}},"usePool":"any","inv4":1,"inv6":1,"expv4ia":{"count":1},"expv6ia":{"count":1},"expError":null} },
         {"id":"more than there are","args":{"host":"a","cleanEnv":true,"pools":{{OwnPools}},"usePool":"10.7.0.0/26","inv4":65,"inv6":0,"expv4ia":{"count":64},"expv6ia":null,"expError":null} },
         {"id":"nothing left for another","args":{"host":"b","cleanEnv":false,"pools":{{OwnPools}},"usePool":"10.7.0.0/26","inv4":1,"inv6":0,"expv4ia":{"count":0},"expv6ia":null,"expError":null} },
         {"id":"two blocks at most, strictly","args":{"host":"a","cleanEnv":true,"pools":{{OwnPools}},"usePool":"any","inv4":40,"inv6":0,"blockLimit":2,"strictAffinity":true,"expv4ia":{"count":32},"expError":null} },
         {"id":"another host has the other two","args":{"host":"b","cleanEnv":false,"pools":{{OwnPools}},"usePool":"any","inv4":40,"inv6":0,"blockLimit":2,"strictAffinity":true,"expv4ia":{"count":32},"expError":null} },
         {"id":"three blocks are held","args":{"host":"a","cleanEnv":true,"pools":{{OwnPools}},"usePool":"any","inv4":40,"inv6":0,"expv4ia":{"count":40},"expError":null} },
         {"id":"the last block, then borrowed ones","args":{"host":"b","cleanEnv":false,"pools":{{OwnPools}},"usePool":"any","inv4":30,"inv6":0,"expv4ia":{"count":24},"expError":null} },
         {"id":"a disabled pool","args":{"host":"a","cleanEnv":true,"pools":{{OwnPools}},"usePool":"10.8.0.0/26","inv4":1,"inv6":0,"expv4ia":null,"expError":"disabled"} },
         {"id":"a tunnel","args":{"host":"a","cleanEnv":true,"pools":{{OwnPools}},"usePool":"10.9.0.0/26+tunnel","inv4":1,"inv6":0,"expv4ia":{"count":1},"expError":null} }]
        """), AutoAssignAsync);

    [Fact]
    public Task What_is_released_is_free_and_what_nobody_had_is_said() => ReplayAsync(Parse("""
        [{"id":"had by nobody","args":{"inIP":"192.168.1.0","cleanEnv":true,"assignIP":null,"autoAssignNumIPv4":0,"expUnallocatedIPs":["192.168.1.0"],"expError":null}},
         {"id":"one","args":{"inIP":"192.168.1.0","cleanEnv":true,"assignIP":"192.168.1.0","autoAssignNumIPv4":0,"expUnallocatedIPs":[],"expError":null}},
         {"id":"once more","args":{"inIP":"192.168.1.0","cleanEnv":false,"assignIP":null,"autoAssignNumIPv4":0,"expUnallocatedIPs":["192.168.1.0"],"expError":null}},
         {"id":"six","args":{"inIP":"fd80:24e2:f998:72d6::1","cleanEnv":true,"assignIP":"fd80:24e2:f998:72d6::1","autoAssignNumIPv4":0,"expUnallocatedIPs":[],"expError":null}},
         {"id":"all of many","args":{"inIP":null,"cleanEnv":true,"assignIP":null,"autoAssignNumIPv4":100,"expUnallocatedIPs":[],"expError":null}}]
        """), ReleaseIPsAsync);

    [Fact]
    public Task A_network_is_claimed_block_by_block_and_each_block_once() => ReplayAsync(Parse("""
        [{"id":"a block","args":{"inNet":"192.168.1.0/26","host":"host-a","cleanEnv":true,"pool":["192.168.1.0/24"],"assignIP":null,"expClaimedIPs":1,"expFailedIPs":0,"expError":null}},
         {"id":"too small","args":{"inNet":"192.168.1.0/27","host":"host-a","cleanEnv":true,"pool":["192.168.1.0/24"],"assignIP":null,"expClaimedIPs":0,"expFailedIPs":0,"expError":"small"}},
         {"id":"no pool","args":{"inNet":"10.0.0.0/24","host":"host-a","cleanEnv":true,"pool":["192.168.1.0/24"],"assignIP":null,"expClaimedIPs":0,"expFailedIPs":0,"expError":"pool"}},
         {"id":"one is another's","args":{"inNet":"192.168.1.0/24","host":"host-b","cleanEnv":true,"pool":["192.168.1.0/24"],"assignIP":"192.168.1.1","expClaimedIPs":["a","b","c"],"expFailedIPs":["d"],"expError":null}},
         {"id":"again","args":{"inNet":"192.168.1.0/24","host":"host-b","cleanEnv":false,"pool":["192.168.1.0/24"],"assignIP":null,"expClaimedIPs":3,"expFailedIPs":1,"expError":null}}]
        """), ClaimAffinityAsync);

    // ---- what upstream's calls are here --------------------------------------------------------------------------------

    private async Task<string?> AssignAsync(string host, IpAddr address)
    {
        await TellFeedAsync();
        var pools = PoolChoice.All(_pools.Where(p => !p.Spec.Disabled)).Where(p => p.Cidr.Version == address.Version).ToImmutableArray();
        LeaseOf(host, 0).Tell(Allocate($"pod{++_pods}", pools, address.ToString()), TestActor);
        return await ExpectMsgAsync<object>(TimeSpan.FromSeconds(20)) is LeaseProtocol.NotAllocated no ? no.Reason : null;
    }

    private async Task<int> AllocateAsync(string host, int count, IpVersion family, ImmutableArray<PoolRef> pools, int blockLimit)
    {
        var got = 0;
        var lease = LeaseOf(host, blockLimit);
        await TellFeedAsync();
        for (var i = 0; i < count; i++)
        {
            lease.Tell(Allocate($"pod{++_pods}", pools), TestActor);
            if (await ExpectMsgAsync<object>(TimeSpan.FromSeconds(20)) is LeaseProtocol.Allocated)
                got++;
        }
        Assert.All(pools, p => Assert.Equal(family, p.Cidr.Version));
        return got;
    }

    private async Task<(int Claimed, int Refused, string? Error)> ClaimAsync(Cidr network, string host)
    {
        var pool = PoolChoice.All(_pools).Where(p => p.Cidr.Contains(network)).Select(p => (PoolRef?)p).FirstOrDefault();
        if (pool is not { } inside)
            return (0, 0, $"{network} is in no pool");
        if (network.PrefixLength > inside.BlockSize)
            return (0, 0, $"{network} is smaller than a block");
        int claimed = 0, refused = 0;
        for (var i = 0; i < BlockCandidates.CountIn(network, inside.BlockSize); i++)
        {
            var claim = new BlockProtocol.ClaimBlock(BlockCandidates.At(network, inside.BlockSize, i), host, i);
            OwnersOfBlocks.Tell(new MeshLinkProtocol.ToBlock(claim), TestActor);
            if (await ExpectMsgAsync<object>(TimeSpan.FromSeconds(10)) is BlockProtocol.BlockGranted)
                claimed++;
            else
                refused++;
        }
        return (claimed, refused, null);
    }

    // ---- the world of a row --------------------------------------------------------------------------------------------

    private async Task ReplayAsync(List<JsonElement> rows, Func<JsonElement, Task<string?>> replay)
    {
        var failures = new List<string>();
        foreach (var row in rows)
        {
            var failure = await replay(row.GetProperty("args")) ?? await AuditAsync();
            if (failure is not null)
                failures.Add($"{row.GetProperty("id")} {Text(row, "name")}: {failure}");
        }
        Assert.Empty(failures);
    }

    private async Task PrepareAsync(JsonElement args, ImmutableArray<IPPool> pools)
    {
        if (args.GetProperty("cleanEnv").GetBoolean())
        {
            foreach (var lease in _leases.Values)
                await lease.GracefulStop(TimeSpan.FromSeconds(5));
            _leases.Clear();
            foreach (var key in Store.Keys.ToList())
                await DeleteAsync(key);
        }
        _pools = pools;
    }

    private IActorRef LeaseOf(string host, int blockLimit)
    {
        if (_leases.TryGetValue(host, out var lease) && _limits[host] == blockLimit)
            return lease;
        if (lease is not null)
            Sys.Stop(lease);
        _limits[host] = blockLimit;
        return _leases[host] = Start(host, blockLimit > 0 ? new LeaseOptions { MaxBlocks = blockLimit } : null);
    }

    private async Task ConfigureAsync(bool isStrict) =>
        await PutAsync(IpamKeys.Config, IpamJson.WriteConfig(IpamConfig.Default with { StrictAffinity = isStrict }));

    // As the feed would: who holds what, and the allocator's settings.
    private async Task TellFeedAsync()
    {
        // What a lease was refused a row ago, it has forgotten.
        Clock.Advance(TimeSpan.FromSeconds(30));
        await JoinAsync([.. _leases.Select(l => (l.Key, l.Value))]);
        if (await Store.GetAsync(IpamKeys.Config) is not { } config)
            return;
        foreach (var lease in _leases.Values)
            lease.Tell(new UpstreamProtocol.ResourcesChanged([new FeedItem(config.Key, config.Value, config.ModRevision)], true, Store.Revision));
    }

    // Nobody uses the addresses here, so what looks leaked is not; all else must be right.
    private async Task<string?> AuditAsync()
    {
        using var told = new StringWriter();
        var read = await CheckedRecords.ReadAsync(Context(told), new IpamReader(Store, Context(told)), null, default);
        var report = new IpamAccounts(IpamAudit.Of(read.Records with
        {
            Pools = [.. _pools.Select(AddressUses.Of).OfType<PoolRecord>()],
            Nodes = [.. read.Records.Blocks.Select(b => b.Block?.AffineHost).OfType<string>()],
        }), TimeSpan.Zero, Clock.GetUtcNow()).Report();
        return report.Violations.IsEmpty && report.Total.AddUp && report.Findings.Problems == report.Leaked ? null : report.Summary + string.Join("; ", report.Violations);
    }

    private CtlContext Context(TextWriter output) => new()
    {
        Out = output,
        Error = output,
        In = TextReader.Null,
        Environment = _ => null,
        OpenDatastore = _ => Store,
        Time = Clock,
    };
}
