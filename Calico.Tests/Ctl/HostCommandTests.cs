using System.Formats.Tar;
using System.IO.Compression;
using Calico.Ctl.Commands.Node;

namespace Calico.Tests.Ctl;

[Layer("unit")]
public sealed class HostCommandTests : IDisposable
{
    private readonly CalicoctlRunner _calicoctl = new();

    public void Dispose() => _calicoctl.Dispose();

    [Theory]
    [InlineData("6.18.44-fc", true)]
    [InlineData("5.10.0-8-amd64", true)]
    [InlineData("5.4.0", false)]
    [InlineData("4.19+", false)]
    [InlineData("nonsense", false)]
    public void The_kernels_version_is_read(string release, bool isNewEnough) => Assert.Equal(isNewEnough, CheckSystemCommand.IsNewEnough(release));

    [Fact]
    public void A_kernels_features_are_found_wherever_they_are_told()
    {
        var root = Path.GetDirectoryName(_calicoctl.WriteFile("proc/modules", "veth 32768 0 - Live 0x0\n"))![..^"/proc".Length];
        _calicoctl.WriteFile("lib/modules/6.1.0/modules.dep", "kernel/net/netfilter/nf_tables.ko.xz: kernel/lib/libcrc32c.ko\n");
        _calicoctl.WriteFile("lib/modules/6.1.0/modules.builtin", "kernel/net/netfilter/nf-conntrack.ko\n");
        _calicoctl.WriteFile("boot/config-6.1.0", "CONFIG_VXLAN=m\n# CONFIG_WIREGUARD is not set\n");

        var features = new KernelFeatures("6.1.0", null, root);

        Assert.All((string[])["veth", "nf_tables", "nf_conntrack"], m => Assert.True(features.HasModule(m), m));
        Assert.True(features.HasOption("CONFIG_VXLAN"));
        Assert.False(features.HasOption("CONFIG_WIREGUARD") || features.HasModule("wireguard"));
    }

    [Fact]
    public async Task Node_run_shows_a_command_that_a_shell_takes()
    {
        _calicoctl.Environment["ETCD_CA_CERT_FILE"] = "/etc/calico/my ca.pem";

        var result = await _calicoctl.RunAsync("node run --name n1 --ip 192.0.2.1/24 --as 65001 --ip-autodetection-method interface=eth.*");

        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.Contains("AS=65001 CALICO_NETWORKING_BACKEND=bird DATASTORE_TYPE=etcdv3 ETCD_ENDPOINTS=http://127.0.0.1:2379 IP=192.0.2.1/24 "
            + "'IP_AUTODETECTION_METHOD=interface=eth.*' NODENAME=n1 'ETCD_CA_CERT_FILE=/etc/calico/my ca.pem' calico-node run", result.Out, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--ip 2001:db8::1/64", "--ip is wrong IP version")]
    [InlineData("--backend quagga", "unknown backend 'quagga'")]
    [InlineData("--as x", "invalid AS number 'x'")]
    [InlineData("--ip-autodetection-method dice", "unsupported IP autodetection method 'dice'")]
    public async Task Node_run_refuses_what_the_agent_would(string options, string expected) =>
        Assert.Contains(expected, (await _calicoctl.RunAsync("node run " + options)).Error, StringComparison.Ordinal);

    [Fact]
    public async Task Cluster_diags_packs_resources_and_ipam()
    {
        await _calicoctl.RunAsync("create -f -", """{"apiVersion":"projectcalico.org/v3","kind":"IPPool","metadata":{"name":"a"},"spec":{"cidr":"10.0.0.0/24"}}""");

        var result = await _calicoctl.RunAsync("cluster diags");

        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        var archive = result.Out.Split('\n').Single(l => l.StartsWith("==== Diagnostics saved", StringComparison.Ordinal)).Split(' ')[^2];
        try
        {
            var files = await ReadAsync(archive);
            Assert.Contains("name: a", files.Single(f => f.Key.EndsWith("/resources/ippools.yaml", StringComparison.Ordinal)).Value, StringComparison.Ordinal);
            Assert.Contains("10.0.0.0/24", files.Single(f => f.Key.EndsWith("/ipam/show.txt", StringComparison.Ordinal)).Value, StringComparison.Ordinal);
            Assert.Contains("Check complete", files.Single(f => f.Key.EndsWith("/ipam/check.txt", StringComparison.Ordinal)).Value, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(archive);
        }
    }

    [Theory]
    [InlineData("--since soon", "invalid duration 'soon'")]
    [InlineData("--max-logs -1", "--max-logs is -1")]
    [InlineData("--max-parallelism 0", "--max-parallelism is 0")]
    public async Task Cluster_diags_refuses_wrong_options(string options, string expected) =>
        Assert.Contains(expected, (await _calicoctl.RunAsync("cluster diags " + options)).Error, StringComparison.Ordinal);

    [Theory]
    [InlineData("bash", "complete -F _calicoctl calicoctl")]
    [InlineData("zsh", "compdef _calicoctl calicoctl")]
    public async Task Completion_scripts_are_printed(string shell, string expected) =>
        Assert.Contains(expected, (await _calicoctl.RunAsync($"completion {shell}")).Out, StringComparison.Ordinal);

    [Fact]
    public async Task The_shell_is_told_what_may_follow()
    {
        var commands = await _calicoctl.RunAsync(["[suggest:12]", "calicoctl ge"]);
        var kinds = await _calicoctl.RunAsync(["[suggest:16]", "calicoctl get ip"]);

        Assert.Contains("get", commands.Out.Split('\n'));
        Assert.Contains("ippool", kinds.Out.Split('\n'));
    }

    private static async Task<Dictionary<string, string>> ReadAsync(string archive)
    {
        var files = new Dictionary<string, string>();
        await using var unpacked = new GZipStream(File.OpenRead(archive), CompressionMode.Decompress);
        await using var reader = new TarReader(unpacked);
        while (await reader.GetNextEntryAsync() is { } entry)
        {
            if (entry.DataStream is not null)
                files[entry.Name] = await new StreamReader(entry.DataStream).ReadToEndAsync();
        }
        return files;
    }
}
