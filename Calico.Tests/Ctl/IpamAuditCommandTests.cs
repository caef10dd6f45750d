using System.Text.Json.Nodes;
using Calico.Core.Ipam;
using Calico.Core.Net;

namespace Calico.Tests.Ctl;

[Layer("unit")]
public sealed class IpamAuditCommandTests : IpamCommandFixture
{
    [Fact]
    public async Task Good_records_are_clean_with_a_sentence_and_exit_code_zero()
    {
        await StoreAsync([(Used, "net.web", "node1")]);

        var result = await Calicoctl.RunAsync("ipam audit");

        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.Contains($"{Used}\tallocated\tworkload\tshop/web\tnode1\tnet.web\t{First} of host:node1\tin use by Workload(shop/node1-k8s-web-eth0)\n", result.Out, StringComparison.Ordinal);
        Assert.Contains($"As of revision {Calicoctl.Datastore.Revision}: Clean: 1 pools, 1 blocks: 1 allocated + 0 cooling + 65535 free = 65536 of 65536; 0 leaked, 0 duplicates",
            result.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_leak_ends_with_exit_code_one_and_is_all_that_leaked_shows()
    {
        await StoreAsync([(Used, "net.web", "node1"), (Leaked, "net.gone", "node1")]);

        var result = await Calicoctl.RunAsync("ipam audit --leaked");
        var check = await Calicoctl.RunAsync("ipam check");

        Assert.Equal(1, result.ExitCode);
        Assert.Contains("NOT clean", result.Out, StringComparison.Ordinal);
        Assert.Contains("1 leaked", result.Out, StringComparison.Ordinal);
        Assert.Contains($"{Leaked}\tleaked", result.Out, StringComparison.Ordinal);
        Assert.DoesNotContain($"{Used}\t", result.Out, StringComparison.Ordinal);
        Assert.Contains("found 1 problems", check.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_node_that_is_not_there_is_named_unless_it_left_something_behind()
    {
        await StoreAsync([(Used, "net.web", "node1"), (Leaked, "net.gone", "node9")]);

        var never = await Calicoctl.RunAsync("ipam audit --node=node3");
        var gone = await Calicoctl.RunAsync("ipam audit --node=node9");

        Assert.Equal((1, "there is no node node3: 'calicoctl get nodes' lists them\n", ""), (never.ExitCode, never.Error, never.Out));
        Assert.Equal("", gone.Error);
        Assert.Contains($"{Leaked}\tleaked", gone.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_person_gets_tables_and_a_program_json_or_yaml()
    {
        await StoreAsync([(Used, "net.web", "node1"), (Leaked, "net.b", "node2")]);

        var json = JsonNode.Parse((await Calicoctl.RunAsync("ipam audit --node=node2 -o json")).Out)!;
        var yaml = await Calicoctl.RunAsync("ipam audit -o yaml");
        Calicoctl.IsTerminal = true;
        var table = await Calicoctl.RunAsync("ipam audit");

        Assert.Equal((false, 1, 2), ((bool)json["clean"]!, (int)json["leaked"]!, (int)json["total"]!["allocated"]!));
        var only = Assert.Single(json["addresses"]!.AsArray())!;
        Assert.Equal((Leaked.ToString(), "leaked", true, "host:node1"), ((string)only["address"]!, (string)only["state"]!, (bool)only["borrowed"]!, (string)only["blockOwner"]!));
        Assert.Contains("\nclean: false\n", "\n" + yaml.Out, StringComparison.Ordinal);
        Assert.Contains("| POOL ", table.Out, StringComparison.Ordinal);
        Assert.Contains($"| {Used} ", table.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Released_addresses_cool_and_reservations_are_shown_and_both_are_clean()
    {
        await StoreAsync([(Used, "net.web", "node1"), (Leaked, "net.gone", "node1")]);
        await Calicoctl.RunAsync("ipam configure --ip-cooldown-seconds=60");
        await Calicoctl.RunAsync($"ipam release --ip={Leaked}");
        await Calicoctl.RunAsync("create -f -", """
            apiVersion: projectcalico.org/v3
            kind: IPReservation
            metadata: {name: routers}
            spec: {reservedCIDRs: [10.65.0.6/31]}
            """);

        var result = await Calicoctl.RunAsync("ipam audit");

        Assert.Equal(0, result.ExitCode);
        Assert.Contains($"{Leaked}\tcooling", result.Out, StringComparison.Ordinal);
        Assert.Contains("cools down until 2026-08-22T10:01:00Z", result.Out, StringComparison.Ordinal);
        Assert.Contains("10.65.0.6/31\treserved", result.Out, StringComparison.Ordinal);
        Assert.Contains("1 allocated + 1 cooling + 65534 free = 65536 of 65536", result.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_value_that_cannot_be_read_is_never_clean()
    {
        await StoreAsync([(Used, "net.web", "node1")]);
        await PutAsync("/calico/resources/v3/projectcalico.org/workloadendpoints/shop/node1-k8s-b-eth0", "{"u8.ToArray());

        var result = await Calicoctl.RunAsync("ipam audit");

        Assert.Equal(1, result.ExitCode);
        Assert.Contains("NOT clean: 1 stored value(s) cannot be read", result.Out, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("ipam audit --pool=none", "there is no pool none")]
    [InlineData("ipam audit -o xml", "unrecognized output format 'xml'")]
    public async Task A_wrong_wish_is_refused(string command, string expected)
    {
        await StoreAsync([]);

        var result = await Calicoctl.RunAsync(command);

        Assert.Equal(1, result.ExitCode);
        Assert.Contains(expected, result.Error, StringComparison.Ordinal);
    }
}
