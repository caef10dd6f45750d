using System.Text.Json.Nodes;
using Calico.Node.Cni;

namespace Calico.Tests.Node;

[Layer("unit")]
public sealed class CniInstallTests : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("calico-install-").FullName;
    private readonly string _program;
    private readonly Dictionary<string, string> _variables = [];

    public CniInstallTests()
    {
        _program = Path.Combine(_root, "calico-cni");
        File.WriteAllText(_program, "the program");
    }

    public void Dispose() => Directory.Delete(_root, recursive: true);

    private string Bin(string name) => Path.Combine(_root, "opt/cni/bin", name);
    private string Net(string name) => Path.Combine(_root, "etc/cni/net.d", name);

    [Fact]
    public async Task Programs_and_configuration_are_where_a_runtime_looks_with_the_rights_they_need()
    {
        Assert.Equal((0, ""), await RunAsync());

        foreach (var name in (string[])["calico", "calico-ipam"])
        {
            Assert.Equal("the program", await File.ReadAllTextAsync(Bin(name)));
            Assert.True(File.GetUnixFileMode(Bin(name)).HasFlag(UnixFileMode.OtherExecute));
        }
        var config = JsonNode.Parse(await File.ReadAllTextAsync(Net("10-calico.conflist")))!;
        Assert.Equal(["calico", "portmap"], config["plugins"]!.AsArray().Select(p => p!["type"]!.GetValue<string>()));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Net("10-calico.conflist")));
    }

    [Fact]
    public async Task Rights_that_somebody_changed_are_set_again()
    {
        await RunAsync();
        File.SetUnixFileMode(Bin("calico"), UnixFileMode.UserRead);
        File.SetUnixFileMode(Net("10-calico.conflist"), (UnixFileMode)0x1B6);

        Assert.Equal((0, ""), await RunAsync());

        Assert.True(File.GetUnixFileMode(Bin("calico")).HasFlag(UnixFileMode.OtherExecute | UnixFileMode.UserExecute));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Net("10-calico.conflist")));
    }

    [Fact]
    public async Task Every_placeholder_stands_for_its_variable()
    {
        string[] names = ["LOG_LEVEL", "LOG_FILE_PATH", "LOG_FILE_MAX_SIZE", "LOG_FILE_MAX_AGE", "LOG_FILE_MAX_COUNT", "DATASTORE_TYPE", "KUBERNETES_NODE_NAME",
            "KUBECONFIG_FILEPATH", "CNI_MTU", "SERVICEACCOUNT_TOKEN", "CALICO_API_GROUP", "ETCD_ENDPOINTS", "ETCD_DISCOVERY_SRV", "ETCD_CERT_FILE",
            "ETCD_CA_CERT_FILE", "ETCD_KEY_FILE", "REQUIRE_MTU_FILE", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"];
        foreach (var name in names)
            _variables[name] = "value of " + name;
        _variables["CNI_NETWORK_CONFIG"] = $$"""{"name": "n", "plugins": [{{{string.Join(", ", names.Select(n => $"\"{n}\": \"__{n}__\""))}}}]}""";

        Assert.Equal((0, ""), await RunAsync());

        var plugin = JsonNode.Parse(await File.ReadAllTextAsync(Net("10-calico.conflist")))!["plugins"]![0]!;
        Assert.All(names, n => Assert.Equal("value of " + n, plugin[n]!.GetValue<string>()));
    }

    [Theory]
    [InlineData("{\n  \"name\": \"n\",\n  \"plugins\": [}\n}", "line 3, column 15")]
    [InlineData("{\"name\": \"n\", \"plugins\": __CNI_MTU__}", "line 1, column 26")]
    [InlineData("[]", "no JSON object")]
    [InlineData("{\"plugins\": []}", "no \"name\"")]
    [InlineData("{\"name\": \"n\", \"type\": \"calico\"}", "no \"plugins\"")]
    public async Task A_configuration_that_is_none_is_refused_with_its_place_and_nothing_is_touched(string config, string why)
    {
        _variables["CNI_NETWORK_CONFIG"] = config;
        _variables["CNI_MTU"] = "large";

        var (exit, errors) = await RunAsync();

        Assert.Equal(2, exit);
        Assert.Contains(why, errors, StringComparison.Ordinal);
        Assert.Equal([_program], Directory.GetFiles(_root, "*", SearchOption.AllDirectories));
    }

    [Fact]
    public async Task A_file_that_cannot_be_read_is_named()
    {
        _variables["CNI_NETWORK_CONFIG_FILE"] = "/nowhere/conf";

        var (exit, errors) = await RunAsync();

        Assert.Equal(2, exit);
        Assert.Contains("/nowhere/conf", errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_folder_that_cannot_be_written_is_exit_status_1_and_leaves_no_half_file()
    {
        Directory.CreateDirectory(Path.Combine(_root, "opt/cni"));
        await File.WriteAllTextAsync(Path.Combine(_root, "opt/cni/bin"), "in the way");

        var (exit, errors) = await RunAsync();

        Assert.Equal(1, exit);
        Assert.NotEmpty(errors);
        Assert.Empty(Directory.GetFiles(_root, "*.tmp", SearchOption.AllDirectories));
        Assert.False(File.Exists(Net("10-calico.conflist")));
    }

    [Fact]
    public async Task Names_and_skips_are_those_of_the_variables()
    {
        await RunAsync();
        await File.WriteAllTextAsync(_program, "a newer one");
        _variables["CNI_CONF_NAME"] = "05-own.conflist";
        _variables["SKIP_CNI_BINARIES"] = "calico-ipam, other";

        Assert.Equal((0, ""), await RunAsync());

        Assert.Equal(("a newer one", "the program"), (await File.ReadAllTextAsync(Bin("calico")), await File.ReadAllTextAsync(Bin("calico-ipam"))));
        Assert.True(File.Exists(Net("05-own.conflist")));
        Assert.False(File.Exists(Net("10-calico.conflist")));
    }

    [Fact]
    public async Task Programs_that_are_not_to_be_updated_stay()
    {
        await RunAsync();
        await File.WriteAllTextAsync(_program, "a newer one");
        _variables["UPDATE_CNI_BINARIES"] = "false";

        await RunAsync();

        Assert.Equal("the program", await File.ReadAllTextAsync(Bin("calico")));
    }

    [Fact]
    public async Task Installing_again_writes_nothing_that_is_right()
    {
        await RunAsync();
        var before = File.GetLastWriteTimeUtc(Bin("calico"));

        await RunAsync();

        Assert.Equal(before, File.GetLastWriteTimeUtc(Bin("calico")));
    }

    [Fact]
    public async Task Uninstalling_removes_what_was_written_and_nothing_else()
    {
        Directory.CreateDirectory(Path.Combine(_root, "opt/cni/bin"));
        await File.WriteAllTextAsync(Bin("portmap"), "somebody else's");
        await RunAsync();
        await RunAsync();

        Assert.Equal((0, ""), await RunAsync(uninstall: true));

        Assert.Equal([_program, Bin("portmap")], Directory.GetFiles(_root, "*", SearchOption.AllDirectories).Order());
    }

    [Fact]
    public async Task A_file_that_somebody_changed_is_left_and_said()
    {
        await RunAsync();
        await File.WriteAllTextAsync(Net("10-calico.conflist"), "mine now");

        Assert.Equal(1, (await RunAsync(uninstall: true)).Exit);

        Assert.Equal("mine now", await File.ReadAllTextAsync(Net("10-calico.conflist")));
        Assert.False(File.Exists(Bin("calico")));
    }

    private async Task<(int Exit, string Errors)> RunAsync(bool uninstall = false)
    {
        using var errors = new StringWriter();
        var exit = await InstallCommand.RunAsync(uninstall, _root, _program, Path.Combine(_root, "none"), _variables.GetValueOrDefault, TextWriter.Null, errors, CancellationToken.None);
        return (exit, errors.ToString());
    }
}
