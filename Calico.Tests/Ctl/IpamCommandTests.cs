using System.Text.Json.Nodes;
using Calico.Core.Ipam;
using Calico.Core.Net;

namespace Calico.Tests.Ctl;

[Layer("unit")]
public sealed class IpamCommandTests : IpamCommandFixture
{
    [Fact]
    public async Task A_check_of_good_records_finds_nothing()
    {
        await StoreAsync([(Used, "net.web", "node1")]);

        var result = await Calicoctl.RunAsync("ipam check");

        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.Contains("Check complete; found 0 problems.", result.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_leaks_is_reported_and_released_and_nothing_else()
    {
        await StoreAsync([(Used, "net.web", "node1"), (Leaked, "net.gone", "node1")]);
        await PutAsync(IpamKeys.Handle("net.orphan"), IpamJson.WriteHandle(new SortedDictionary<string, int>(StringComparer.Ordinal) { [First.ToString()] = 1 }));
        var report = Calicoctl.WriteFile("report.json", "");
        await Calicoctl.RunAsync("datastore migrate lock");

        var check = await Calicoctl.RunAsync($"ipam check --show-problem-ips -o {report}");
        var release = await Calicoctl.RunAsync($"ipam release --from-report={report}");

        Assert.Contains("Check complete; found 2 problems.", check.Out, StringComparison.Ordinal);
        Assert.Contains($"{Leaked}", check.Out, StringComparison.Ordinal);
        Assert.Equal((0, ""), (release.ExitCode, release.Error));
        Assert.Contains("Released 1 IPs successfully", release.Out, StringComparison.Ordinal);
        Assert.Equal([Used], (await BlockAsync()).Assigned().Select(a => a.Address));
        Assert.Equal([IpamKeys.Handle("net.web")], Calicoctl.Datastore.Keys.Where(k => k.StartsWith(IpamKeys.HandlePrefix, StringComparison.Ordinal)));
        Assert.Contains("found 0 problems", (await Calicoctl.RunAsync("ipam check")).Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_address_that_was_given_to_somebody_else_after_the_report_is_not_released()
    {
        await StoreAsync([(Leaked, "net.gone", "node1")]);
        var report = Calicoctl.WriteFile("report.json", "");
        await Calicoctl.RunAsync("datastore migrate lock");
        await Calicoctl.RunAsync($"ipam check -o {report}");
        var block = await BlockAsync();
        block.ReleaseWhere((_, _) => true);
        block.SequenceNumber++;
        block.Assign(Leaked, new AllocationAttributes("net.new", null));
        await PutAsync(IpamKeys.Block(First), IpamJson.WriteBlock(block));

        var release = await Calicoctl.RunAsync($"ipam release --from-report={report}");

        Assert.Equal(1, release.ExitCode);
        Assert.Contains("update conflict", release.Error, StringComparison.Ordinal);
        Assert.Equal([Leaked], (await BlockAsync()).Assigned().Select(a => a.Address));
    }

    [Theory]
    [InlineData("unlocked", "data store is not locked")]
    [InlineData("another cluster", "mismatched cluster GUID")]
    [InlineData("another version", "different version")]
    [InlineData("stale", "all stale")]
    public async Task A_report_that_does_not_fit_is_refused(string how, string expected)
    {
        await StoreAsync([(Leaked, "net.gone", "node1")]);
        if (how != "unlocked")
            await Calicoctl.RunAsync("datastore migrate lock");
        var report = Calicoctl.WriteFile("report.json", "");
        await Calicoctl.RunAsync($"ipam check -o {report}");
        var json = JsonNode.Parse(await File.ReadAllTextAsync(report))!;
        if (how == "another cluster")
            json["clusterGUID"] = "0123";
        if (how == "another version")
            json["version"] = "v9.9.9";
        if (how == "stale")
            json["clusterInformationRevision"] = "1";
        await File.WriteAllTextAsync(report, json.ToJsonString());

        var release = await Calicoctl.RunAsync($"ipam release --from-report={report}");

        Assert.Equal(1, release.ExitCode);
        Assert.Contains(expected, release.Error, StringComparison.Ordinal);
        Assert.Single((await BlockAsync()).Assigned());
    }

    [Theory]
    [InlineData("root:x:0:0", "malformed JSON at line 1, byte 1")]
    [InlineData("{\n\"version\":", "malformed JSON at line 2, byte 11")]
    [InlineData("[]", "a field of a report is missing or has the wrong type")]
    [InlineData("{}", "a field of a report is missing or has the wrong type")]
    public async Task A_file_that_is_no_report_is_refused_and_says_where(string content, string expected)
    {
        await StoreAsync([(Leaked, "net.gone", "node1")]);

        var release = await Calicoctl.RunAsync($"ipam release --from-report={Calicoctl.WriteFile("other.json", content)}");

        Assert.Equal(1, release.ExitCode);
        Assert.EndsWith($"is not a report of 'calicoctl ipam check -o': {expected}\n", release.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task One_address_is_released_with_its_handle()
    {
        await StoreAsync([(Used, "net.web", "node1"), (Leaked, "net.gone", "node1")]);

        var release = await Calicoctl.RunAsync($"ipam release --ip={Leaked}");
        var again = await Calicoctl.RunAsync($"ipam release --ip={Leaked}");

        Assert.Equal($"Successfully released IP address {Leaked}\n", release.Out);
        Assert.Equal((1, $"IP address {Leaked} is not assigned\n"), (again.ExitCode, again.Error));
        Assert.Null(await Calicoctl.Datastore.GetAsync(IpamKeys.Handle("net.gone")));
        Assert.NotNull(await Calicoctl.Datastore.GetAsync(IpamKeys.Handle("net.web")));
    }

    [Fact]
    public async Task An_address_in_use_is_released_by_force_only()
    {
        await StoreAsync([(Used, "net.web", "node1")]);

        var refused = await Calicoctl.RunAsync($"ipam release --ip={Used}");
        var held = (await BlockAsync()).Assigned().Count();
        var forced = await Calicoctl.RunAsync($"ipam release --ip={Used} --force");

        Assert.Equal((1, $"IP address {Used} is in use by Workload(shop/node1-k8s-web-eth0): delete that first, or re-run with --force\n"), (refused.ExitCode, refused.Error));
        Assert.Equal(1, held);
        Assert.Equal((0, $"Successfully released IP address {Used}\n"), (forced.ExitCode, forced.Out));
    }

    [Fact]
    public async Task Borrowed_addresses_are_shown_with_both_nodes()
    {
        await StoreAsync([(Used, "net.web", "node1"), (Leaked, "net.b", "node2")]);

        var result = await Calicoctl.RunAsync("ipam show --show-borrowed");

        var row = Assert.Single(result.Out.Split('\n'), l => l.Contains(Leaked.ToString(), StringComparison.Ordinal));
        Assert.Equal([Leaked.ToString(), "node2", First.ToString(), "node1"], row.Split('|', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)[..4]);
        Assert.DoesNotContain(Used.ToString(), result.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Settings_change_one_by_one_and_contradictions_are_refused()
    {
        var strict = await Calicoctl.RunAsync("ipam configure --strictaffinity=true --max-blocks-per-host=4");
        var cooldown = await Calicoctl.RunAsync("ipam configure --ip-cooldown-seconds=30");
        var contradiction = await Calicoctl.RunAsync("ipam configure --strictaffinity=false");
        var show = await Calicoctl.RunAsync("ipam show --show-configuration");

        Assert.Equal("Successfully set StrictAffinity to: true\nSuccessfully set MaxBlocksPerHost to: 4\n", strict.Out);
        Assert.Equal("Successfully set IPCooldownSeconds to: 30\n", cooldown.Out);
        Assert.Equal((1, "error: MaxBlocksPerHost requires StrictAffinity to be enabled\n"), (contradiction.ExitCode, contradiction.Error));
        Assert.Contains("| StrictAffinity", show.Out, StringComparison.Ordinal);
        var stored = IpamJson.ParseConfig((await Calicoctl.Datastore.GetAsync(IpamKeys.Config))!.Value);
        Assert.Equal((true, true, 4, 30), (stored.StrictAffinity, stored.AutoAllocateBlocks, stored.MaxBlocksPerHost, stored.IPCooldownSeconds));
    }

    [Theory]
    [InlineData("-5")]
    [InlineData("soon")]
    [InlineData("99999999999")]
    public async Task A_cooldown_that_is_no_number_of_seconds_is_refused_and_nothing_is_set(string seconds)
    {
        var result = await Calicoctl.RunAsync($"ipam configure --strictaffinity=true --ip-cooldown-seconds={seconds}");

        Assert.Equal((1, $"invalid value for --ip-cooldown-seconds: {seconds}. Use a number of seconds\n"), (result.ExitCode, result.Error));
        Assert.Null(await Calicoctl.Datastore.GetAsync(IpamKeys.Config));
    }

    [Fact]
    public async Task A_pool_is_split_in_one_transaction_while_the_datastore_is_locked()
    {
        await StoreAsync([(Used, "net.web", "node1")]);

        var unlocked = await Calicoctl.RunAsync("ipam split 4 --name=pool");
        await Calicoctl.RunAsync("datastore migrate lock");
        var odd = await Calicoctl.RunAsync("ipam split 3 --name=pool");
        var split = await Calicoctl.RunAsync("ipam split 4 --cidr=10.65.0.0/16");

        Assert.Equal(1, unlocked.ExitCode);
        Assert.Contains("lock", unlocked.Error, StringComparison.Ordinal);
        Assert.Contains("not a valid power of 2", odd.Error, StringComparison.Ordinal);
        Assert.Equal(0, split.ExitCode);
        var pools = await Calicoctl.RunAsync("get ippools -o custom-columns=NAME,CIDR");
        Assert.Equal(["split-pool-0 10.65.0.0/18", "split-pool-1 10.65.64.0/18", "split-pool-2 10.65.128.0/18", "split-pool-3 10.65.192.0/18"],
            pools.Out.Split('\n')[1..5].Select(l => string.Join(' ', l.Split(' ', StringSplitOptions.RemoveEmptyEntries))));
        Assert.Single((await BlockAsync()).Assigned());
    }
}
