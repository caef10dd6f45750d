using Calico.Actors.Cni;
using Calico.Core.Cni;
using Calico.Core.Model.Resources;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Cni;

[Layer("actor")]
public sealed class CniHandlerTests(ITestOutputHelper output) : CniFixture(output)
{
    // ---- DELs that waited --------------------------------------------------------------------------------------------

    [Fact]
    public async Task A_delete_that_waited_does_not_undo_the_ADD_that_carried_it_out()
    {
        var del = Request(CniCommand.Del);
        await File.WriteAllBytesAsync(Path.Combine(Services.PendingDeletes!, CniPendingDelete.NameOf(CniPlugin.Ipam, "net", "cid-1", "eth0")), del.ToFrame());
        Lease.Hold();
        var adding = AddAsync(Request(CniCommand.Add));
        await Eventually(() => Assert.NotEqual(0, Lease.Waiting));
        var isInLine = false;

        await using var pending = CniPending.Start(Services.PendingDeletes!, (call, token) =>
        {
            var handling = Handler.HandleAsync(call, token);
            isInLine = true;
            return handling;
        }, Note);
        await Eventually(() => Assert.True(isInLine));
        Lease.GoOn();
        var given = await adding;
        await Eventually(() => Assert.Equal(1, Reported("is done")));

        Assert.Equal(given, Assert.Single(await WorkloadsAsync()).Addresses.ToArray());
        Assert.Equal(["net.cid-1"], Lease.Handles);
    }

    [Fact]
    public async Task A_copy_of_a_record_is_put_aside_and_undoes_no_later_ADD()
    {
        var del = Request(CniCommand.Del);
        var copy = Path.Combine(Services.PendingDeletes!, "copy-" + CniPendingDelete.NameOf(CniPlugin.Ipam, "net", "cid-1", "eth0"));
        await File.WriteAllBytesAsync(copy, del.ToFrame());
        var given = await AddAsync(Request(CniCommand.Add));

        await using var pending = CniPending.Start(Services.PendingDeletes!, Handler.HandleAsync, Note);
        await Eventually(() => Assert.True(File.Exists(copy + ".bad")));

        Assert.Equal(1, Reported("its name is not that of its DEL"));
        Assert.Equal(given, Assert.Single(await WorkloadsAsync()).Addresses.ToArray());
    }

    // ---- interfaces of one container ---------------------------------------------------------------------------------

    [Fact]
    public async Task Two_interfaces_of_a_container_in_one_network_have_an_address_each()
    {
        var first = await AddAsync(Request(CniCommand.Add));
        var second = await AddAsync(Request(CniCommand.Add, interfaceName: "net1"));

        Assert.NotEqual(first, second);
        Assert.Equal(first, await AddAsync(Request(CniCommand.Add)));
        Assert.Equal(second, await AddAsync(Request(CniCommand.Add, interfaceName: "net1")));
        Assert.Equal(["net.cid-1", "net.cid-1.net1"], Lease.Handles);
        Assert.Equal([first[0], second[0]], (await WorkloadsAsync()).OrderBy(w => w.PodInterface).Select(w => w.Addresses[0]));
    }

    [Fact]
    public async Task A_network_s_first_interface_has_the_usual_handle_whatever_it_is_called()
    {
        await AddAsync(Request(CniCommand.Add, network: "blue"));
        await AddAsync(Request(CniCommand.Add, interfaceName: "net1", network: "red"));

        Assert.Equal(["blue.cid-1", "red.cid-1"], Lease.Handles);
    }

    [Fact]
    public async Task A_delete_of_one_interface_leaves_the_other_s_address_however_often_it_comes()
    {
        var first = await AddAsync(Request(CniCommand.Add));
        await AddAsync(Request(CniCommand.Add, interfaceName: "net1"));

        Assert.Equal(0, (await CallAsync(Request(CniCommand.Del, interfaceName: "net1"))).ExitCode);
        Assert.Equal(0, (await CallAsync(Request(CniCommand.Del, interfaceName: "net1"))).ExitCode);

        Assert.Equal(["net.cid-1"], Lease.Handles);
        Assert.Equal(first, Assert.Single(await WorkloadsAsync()).Addresses.ToArray());
    }

    [Fact]
    public async Task A_delete_of_an_interface_that_nobody_remembers_releases_it_under_either_handle()
    {
        Lease.Given["net.cid-1"] = [];
        Lease.Given["net.cid-1.net1"] = [];

        Assert.Equal(0, (await CallAsync(Request(CniCommand.Del, interfaceName: "net1"))).ExitCode);

        Assert.Empty(Lease.Handles);
    }

    // ---- particular addresses ----------------------------------------------------------------------------------------

    [Fact]
    public async Task A_wanted_address_says_which_family_it_is_of()
    {
        var dual = """{"type": "calico-ipam", "assign_ipv6": "true"}""";

        Assert.Equal(["10.65.0.77"], await AddAsync(Request(CniCommand.Add, args: "IP=10.65.0.77", ipam: dual)));
        Assert.Equal(["fd00:65::77"], await AddAsync(Request(CniCommand.Add, "cid-2", args: "IP=fd00:65::77", ipam: dual)));
    }

    [Fact]
    public async Task A_wanted_address_of_a_family_that_is_off_is_refused()
    {
        var (code, message) = await FailAsync(Request(CniCommand.Add, args: "IP=fd00:65::5"));

        Assert.Equal(7, code);
        Assert.Contains("IP=fd00:65::5", message, StringComparison.Ordinal);
        Assert.Empty(Lease.Handles);
    }

    [Theory]
    [InlineData("192.0.2.7", "no pool has it")]
    [InlineData("10.66.0.7", "its pool 'off' is disabled")]
    public async Task A_wanted_address_that_no_pool_gives_is_refused_with_the_reason(string address, string why)
    {
        Tell(new IPPool { Metadata = new ObjectMeta { Name = "off" }, Spec = new IPPoolSpec { Cidr = "10.66.0.0/16", Disabled = true } });

        var (code, message) = await FailAsync(Request(CniCommand.Add, args: $"IP={address}"));

        Assert.Equal(7, code);
        Assert.Equal($"address {address} was asked for, and {why}", message);
        Assert.Empty(Lease.Handles);
    }

    // ---- names -------------------------------------------------------------------------------------------------------

    [Theory]
    [InlineData("shop", "a/b")]
    [InlineData("shop/x", "web")]
    [InlineData("shop", "a b")]
    [InlineData("shop", "wéb")]
    public async Task A_pod_s_name_that_cannot_be_in_a_key_is_refused_by_an_ADD_and_is_nothing_to_a_DEL(string ns, string name)
    {
        var args = $"K8S_POD_NAMESPACE={ns};K8S_POD_NAME={name}";

        var (code, message) = await FailAsync(Request(CniCommand.Add, args: args));

        Assert.Equal(4, code);
        Assert.Contains(name == "web" ? "K8S_POD_NAMESPACE=shop/x" : $"K8S_POD_NAME={name}", message, StringComparison.Ordinal);
        Assert.Empty(Lease.Handles);
        Assert.Equal(0, (await CallAsync(Request(CniCommand.Del, args: args))).ExitCode);
    }

    [Fact]
    public async Task A_pod_may_be_called_as_containers_are() =>
        Assert.Single(await AddAsync(Request(CniCommand.Add, args: "K8S_POD_NAMESPACE=My_Web.1;K8S_POD_NAME=My_Web.1")));

    // ---- whose node --------------------------------------------------------------------------------------------------

    [Theory]
    [InlineData(", \"nodename\": \"other\"", "nodename")]
    [InlineData(", \"hostname\": \"other\"", "hostname")]
    public async Task An_ADD_for_another_node_is_refused_with_both_names(string more, string place)
    {
        var (code, message) = await FailAsync(Request(CniCommand.Add, more: more));

        Assert.Equal(7, code);
        Assert.Contains($"{place} of the network configuration", message, StringComparison.Ordinal);
        Assert.Contains("'other'", message, StringComparison.Ordinal);
        Assert.Contains("'node-1'", message, StringComparison.Ordinal);
        Assert.Empty(Lease.Handles);
    }

    [Fact]
    public async Task An_ADD_for_another_node_names_the_file_that_says_so()
    {
        Directory.CreateDirectory(JournalFolder);
        var file = Path.Combine(JournalFolder, "nodename");
        await File.WriteAllTextAsync(file, "other\n");

        var (code, message) = await FailAsync(Request(CniCommand.Add, more: $", \"nodename_file\": \"{file}\""));

        Assert.Equal(7, code);
        Assert.Contains(file, message, StringComparison.Ordinal);
    }

    // ---- a migration -------------------------------------------------------------------------------------------------

    [Fact]
    public async Task While_the_datastore_is_locked_for_a_migration_nothing_is_given_or_taken()
    {
        await AddAsync(Request(CniCommand.Add, "before"));
        Lock(true);

        foreach (var request in (CniRequest[])[Request(CniCommand.Add), Request(CniCommand.Del, "before"),
            Request(CniCommand.Gc, "", "", more: ", \"cni.dev/valid-attachments\": []")])
        {
            var (code, message) = await FailAsync(request);
            Assert.Equal((request.Command, 11), (request.Command, code));
            Assert.Contains("locked for a migration", message, StringComparison.Ordinal);
        }
        Assert.Equal(50, (await FailAsync(Request(CniCommand.Status, "", ""))).Code);
        Assert.Equal(["net.before"], Lease.Handles);

        Lock(false);
        await AddAsync(Request(CniCommand.Add));
        Assert.Equal(0, (await CallAsync(Request(CniCommand.Del, "before"))).ExitCode);
        Assert.Equal(["net.cid-1"], Lease.Handles);
    }

    // ---- what cannot be written --------------------------------------------------------------------------------------

    [Fact]
    public async Task A_delete_whose_record_cannot_be_removed_says_so_and_succeeds_when_it_can()
    {
        await AddAsync(Request(CniCommand.Add));
        var file = Path.Combine(JournalFolder, "cid-1@eth0.json");
        File.Delete(file);
        Directory.CreateDirectory(file);

        var (code, message) = await FailAsync(Request(CniCommand.Del));

        Assert.Equal(5, code);
        Assert.Contains("the record of it cannot be", message, StringComparison.Ordinal);
        Directory.Delete(file);
        Assert.Equal(0, (await CallAsync(Request(CniCommand.Del))).ExitCode);
    }

    // ---- what a person hears -----------------------------------------------------------------------------------------

    [Fact]
    public async Task What_is_accepted_and_not_done_is_said_once()
    {
        foreach (var container in (string[])["a", "b"])
            await AddAsync(Request(CniCommand.Add, container, more: ", \"device_type\": \"netkit\", \"policy_setup_timeout_seconds\": 3600"));

        Assert.Equal((1, 1), (Reported("device_type netkit"), Reported("policy_setup_timeout_seconds of 3600; an ADD waits for 75 s at most")));
    }

    private void Lock(bool locked) => Tell(new ClusterInformation
    {
        Metadata = new ObjectMeta { Name = ClusterInformation.DefaultName },
        Spec = new ClusterInformationSpec { DatastoreReady = !locked },
    });
}
