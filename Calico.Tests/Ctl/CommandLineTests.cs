using Calico.Datastore;

namespace Calico.Tests.Ctl;

[Layer("unit")]
public sealed class CommandLineTests : IDisposable
{
    private const string Pool = """
        apiVersion: projectcalico.org/v3
        kind: IPPool
        metadata: {name: pool}
        spec: {cidr: 10.65.0.0/16, natOutgoing: true}
        """;

    private readonly CalicoctlRunner _calicoctl = new();

    public void Dispose() => _calicoctl.Dispose();

    [Fact]
    public async Task A_created_resource_is_reported_on_standard_output()
    {
        var result = await _calicoctl.RunAsync("create -f -", Pool);

        Assert.Equal(new CommandResult(0, "Successfully created 1 'IPPool' resource(s)\n", ""), result);
        Assert.Contains("/calico/resources/v3/projectcalico.org/ippools/pool", _calicoctl.Datastore.Keys);
    }

    [Fact]
    public async Task A_refusal_is_on_standard_error_and_exits_with_1()
    {
        await _calicoctl.RunAsync("create -f -", Pool);

        var result = await _calicoctl.RunAsync("create -f -", Pool);

        Assert.Equal(1, result.ExitCode);
        Assert.Equal("", result.Out);
        Assert.Equal("failed to create 'IPPool' resource: stdin:1: resource already exists: IPPool(pool) with error: <nil>\n", result.Error);
    }

    [Theory]
    [InlineData("--unknown-flag", "unknown flag: --unknown-flag")]
    [InlineData("get gnp --bogus", "unknown flag: --bogus")]
    [InlineData("-m", "unknown shorthand flag: 'm' in -m")]
    [InlineData("frobnicate", "unknown command \"frobnicate\"")]
    public async Task A_wrong_command_line_exits_with_1(string args, string error)
    {
        var result = await _calicoctl.RunAsync(args);

        Assert.Equal(1, result.ExitCode);
        Assert.Contains(error, result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Every_command_explains_itself_whatever_it_needs()
    {
        var left = new Queue<string>([""]);
        var seen = 0;

        while (left.TryDequeue(out var command))
        {
            var result = await _calicoctl.RunAsync($"{command} --help".TrimStart());

            Assert.True(result is { ExitCode: 0, Error: "" }, $"calicoctl {command} --help: {result.Output}");
            Assert.Contains("Usage:", result.Out, StringComparison.Ordinal);
            seen++;
            foreach (var line in result.Out.Split('\n').SkipWhile(l => l != "Commands:").Skip(1).TakeWhile(l => l.StartsWith("  ", StringComparison.Ordinal)))
                left.Enqueue($"{command} {line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[0]}".TrimStart());
        }

        Assert.InRange(seen, 30, 100);
    }

    [Theory]
    [InlineData("help ipam show", "ipam show --help")]
    [InlineData("help", "--help")]
    [InlineData("ipam", "ipam --help")]
    [InlineData("datastore migrate", "datastore migrate --help")]
    public async Task A_group_of_commands_and_the_word_help_show_help(string command, string meaning)
    {
        var result = await _calicoctl.RunAsync(command);

        Assert.Equal(await _calicoctl.RunAsync(meaning), result);
        Assert.Equal(0, result.ExitCode);
    }

    [Fact]
    public async Task Get_prints_a_table_in_upstreams_layout()
    {
        await _calicoctl.RunAsync("create -f -", Pool);

        var narrow = await _calicoctl.RunAsync("get ippools");
        var wide = await _calicoctl.RunAsync("get ipp -o wide");

        Assert.Equal("NAME   CIDR           SELECTOR   \npool   10.65.0.0/16   all()      \n\n", narrow.Out);
        Assert.Equal(
            "NAME   CIDR           NAT    IPIPMODE   VXLANMODE   DISABLED   DISABLEBGPEXPORT   SELECTOR   ASSIGNMENTMODE   \n"
            + "pool   10.65.0.0/16   true   Never      Never       false      false              all()      Automatic        \n\n", wide.Out);
    }

    [Fact]
    public async Task Get_prints_yaml_that_apply_takes_back()
    {
        await _calicoctl.RunAsync("create -f -", Pool);

        var yaml = await _calicoctl.RunAsync("get ippool pool -o yaml");
        var applied = await _calicoctl.RunAsync("apply -f -", yaml.Out);

        Assert.StartsWith("apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata:\n", yaml.Out, StringComparison.Ordinal);
        Assert.Contains("resourceVersion: \"", yaml.Out, StringComparison.Ordinal);
        Assert.Equal("Successfully applied 1 'IPPool' resource(s)\n", applied.Out);
    }

    [Fact]
    public async Task Get_prints_a_list_as_json()
    {
        await _calicoctl.RunAsync("create -f -", Pool);

        var json = await _calicoctl.RunAsync("get ippool -o json");

        Assert.StartsWith("{\n  \"kind\": \"IPPoolList\",\n  \"apiVersion\": \"projectcalico.org/v3\",", json.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Tiers_are_sorted_by_order_in_gos_number_form()
    {
        await _calicoctl.RunAsync("create -f -", Pool);

        var tiers = await _calicoctl.RunAsync("get tiers");

        Assert.Equal("NAME            ORDER   \nkube-admin      1000    \ndefault         1e+06   \nkube-baseline   1e+07   \n\n", tiers.Out);
    }

    [Fact]
    public async Task Namespaced_resources_show_their_namespace_on_request()
    {
        const string policy = """{"apiVersion":"projectcalico.org/v3","kind":"NetworkPolicy","metadata":{"name":"p"},"spec":{"order":10}}""";
        await _calicoctl.RunAsync("create -n web -f -", policy);

        Assert.Equal("NAME   TIER   \n\n", (await _calicoctl.RunAsync("get np")).Out);
        Assert.Equal("NAMESPACE   NAME   TIER      \nweb         p      default   \n\n", (await _calicoctl.RunAsync("get np -A")).Out);
        Assert.Contains("p      default   10      ", (await _calicoctl.RunAsync("get np -n web -o wide")).Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_directory_is_read_in_name_order()
    {
        var path = _calicoctl.WriteFile("d/1.yaml", Pool);
        _calicoctl.WriteFile("d/2.json", """{"apiVersion":"projectcalico.org/v3","kind":"NetworkSet","metadata":{"name":"s"},"spec":{}}""");
        _calicoctl.WriteFile("d/notes.txt", "not a manifest");

        var result = await _calicoctl.RunAsync($"apply -f {Path.GetDirectoryName(path)}");

        Assert.Equal("Successfully applied 2 resource(s)\n", result.Out);
    }

    [Fact]
    public async Task Partial_success_says_what_went_wrong()
    {
        var result = await _calicoctl.RunAsync("create -f -", Pool + "\n---\n" + Pool.Replace("name: pool", "name: other", StringComparison.Ordinal));

        Assert.Equal(1, result.ExitCode);
        Assert.Contains("created 1 out of 2 'IPPool' resources", result.Error, StringComparison.Ordinal);
        Assert.Contains("overlaps with IPPool(pool)", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_unknown_field_is_named_with_its_line()
    {
        var path = _calicoctl.WriteFile("bad.yaml", "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: p}\nspec:\n  cidr: 10.0.0.0/16\n  natOutgoin: true\n");

        var result = await _calicoctl.RunAsync($"create -f {path}");

        Assert.Equal(1, result.ExitCode);
        Assert.StartsWith($"failed to execute command: {path}:6: IPPool(p): error with field spec.natOutgoin", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Validate_needs_no_datastore()
    {
        var result = await _calicoctl.RunAsync("validate -f -", Pool);

        Assert.Equal("Successfully validated 1 'IPPool' resource(s)\n", result.Out);
        Assert.Null(_calicoctl.Opened);
    }

    [Fact]
    public async Task The_selector_command_answers_with_its_exit_code()
    {
        var match = await _calicoctl.RunAsync(["selector", "a == 'x' && has(b)", "--labels", "a=x,b="]);
        var differs = await _calicoctl.RunAsync(["selector", "a == 'x'", "--labels", "a=y"]);
        var broken = await _calicoctl.RunAsync(["selector", "a = 'x'"]);

        Assert.Equal(0, match.ExitCode);
        Assert.Contains("canonical: (a == \"x\" && has(b))", match.Out, StringComparison.Ordinal);
        Assert.Equal(1, differs.ExitCode);
        Assert.Equal("selector 'a = 'x'': expected '==' at character 3\n  a = 'x'\n    ^\n", broken.Error);
    }

    [Fact]
    public async Task Kubernetes_policies_are_converted()
    {
        var result = await _calicoctl.RunAsync("convert -f -", """
            apiVersion: networking.k8s.io/v1
            kind: NetworkPolicy
            metadata: {name: web, namespace: shop}
            spec:
              podSelector: {matchLabels: {app: web}}
              ingress:
              - from: [{podSelector: {}}]
                ports: [{port: 80}]
            """);

        Assert.Equal(0, result.ExitCode);
        Assert.Contains("name: knp.default.web", result.Out, StringComparison.Ordinal);
        Assert.Contains("selector: projectcalico.org/orchestrator == 'k8s' && app == 'web'", result.Out, StringComparison.Ordinal);
        Assert.Equal(0, (await _calicoctl.RunAsync("validate -f -", result.Out)).ExitCode);
    }

    [Fact]
    public async Task Pools_and_blocks_show_their_use()
    {
        await _calicoctl.RunAsync("create -f -", Pool);
        await _calicoctl.RunAsync("create -f -", """{"apiVersion":"projectcalico.org/v3","kind":"IPReservation","metadata":{"name":"r"},"spec":{"reservedCIDRs":["10.65.1.248/31"]}}""");
        await _calicoctl.Datastore.CommitAsync(new Transaction([], [Write.Put("/calico/ipam/v2/assignment/ipv4/block/10.65.1.248-29", """
            {"cidr":"10.65.1.248/29","affinity":"host:n1","allocations":[null,0,null,null,null,null,null,null],"unallocated":[0,2,3,4,5,6,7],
             "attributes":[{"handle_id":"k8s-pod-network.4f0c","secondary":{"namespace":"web","pod":"web-0"}}],
             "sequenceNumber":1787392800000000003,"sequenceNumberForAllocation":{"1":1787392800000000001},"deleted":false}
            """u8.ToArray())]));

        var show = await _calicoctl.RunAsync("ipam show --show-blocks");
        var used = await _calicoctl.RunAsync("ipam show --ip=10.65.1.249");
        var free = await _calicoctl.RunAsync("ipam show --ip=10.65.1.250");

        Assert.Contains("| IP Pool  | 10.65.0.0/16   |     65536 |     1 (0%) |       2 (0%) | 65534 (100%) |", show.Out, StringComparison.Ordinal);
        Assert.Contains("| Block    | 10.65.1.248/29 |         8 |    1 (12%) |      2 (25%) |      6 (75%) |", show.Out, StringComparison.Ordinal);
        Assert.Equal("IP 10.65.1.249 is in use\nHandle ID: k8s-pod-network.4f0c\nActive Owner Attributes:\n  namespace: web\n  pod: web-0\n", used.Out);
        Assert.Equal("10.65.1.250 is not assigned\n", free.Out);
    }

    [Fact]
    public async Task The_version_of_the_cluster_comes_from_the_datastore()
    {
        await _calicoctl.RunAsync("create -f -", Pool);

        var result = await _calicoctl.RunAsync("version");

        Assert.Equal("Client Version:    v0.1.0\nCluster Version:   unknown\nCluster Type:      unknown\n", result.Out);
    }

    [Fact]
    public async Task A_configuration_file_that_is_named_must_exist()
    {
        var result = await _calicoctl.RunAsync("get nodes -c /nonexistent/calicoctl.cfg");

        Assert.Equal(1, result.ExitCode);
        Assert.Contains("/nonexistent/calicoctl.cfg does not exist", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_datastore_is_chosen_by_file_before_environment()
    {
        var path = _calicoctl.WriteFile("calicoctl.cfg", """
            apiVersion: projectcalico.org/v3
            kind: CalicoAPIConfig
            spec: {datastoreType: etcdv3, etcdEndpoints: "https://e1:2379,https://e2:2379", etcdCACertFile: /ca}
            """);

        await _calicoctl.RunAsync($"get nodes -c {path}");

        Assert.Equal("https://e1:2379 https://e2:2379", string.Join(' ', _calicoctl.Opened!.EtcdEndpoints));
        Assert.Equal("/ca", _calicoctl.Opened.EtcdCACertFile);
    }

    [Fact]
    public async Task An_unreachable_datastore_exits_with_1_and_advice()
    {
        _calicoctl.Datastore.BeforeCommit = _ => throw new DatastoreException(DatastoreFault.Unavailable, "commit to http://127.0.0.1:2379: no answer in 10 s");

        var result = await _calicoctl.RunAsync("create -f -", Pool);

        Assert.Equal(1, result.ExitCode);
        Assert.Contains("no answer in 10 s: check that the datastore runs", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_dry_run_shows_the_difference_and_writes_nothing()
    {
        await _calicoctl.RunAsync("create -f -", Pool);
        var keys = _calicoctl.Datastore.Keys.ToArray();
        var revision = (await _calicoctl.Datastore.ListAsync("/")).Revision;

        var change = await _calicoctl.RunAsync("apply --dry-run -f -", Pool.Replace("natOutgoing: true", "natOutgoing: false", StringComparison.Ordinal));
        var none = await _calicoctl.RunAsync("apply --dry-run -f -", Pool);
        var created = await _calicoctl.RunAsync("apply --dry-run -f -", Pool.Replace("name: pool", "name: other", StringComparison.Ordinal).Replace("10.65", "10.66", StringComparison.Ordinal));
        var refused = await _calicoctl.RunAsync("create --dry-run -f -", Pool);

        Assert.Equal((0, ""), (change.ExitCode, change.Error));
        Assert.Contains("IPPool(pool) would change:\n", change.Out, StringComparison.Ordinal);
        Assert.Contains("-   natOutgoing: true\n", change.Out, StringComparison.Ordinal);
        Assert.Contains("IPPool(pool) would not change", none.Out, StringComparison.Ordinal);
        Assert.Contains("IPPool(other) would be created:\n", created.Out, StringComparison.Ordinal);
        Assert.Contains("+   cidr: 10.66.0.0/16\n", created.Out, StringComparison.Ordinal);
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("resource already exists", refused.Error, StringComparison.Ordinal);
        Assert.Equal(keys, _calicoctl.Datastore.Keys);
        Assert.Equal(revision, (await _calicoctl.Datastore.ListAsync("/")).Revision);
    }

    [Fact]
    public async Task Where_only_some_are_stored_it_says_which_and_where_the_mistake_is()
    {
        var file = _calicoctl.WriteFile("two.yaml", Pool + "\n---\n" + """
            apiVersion: projectcalico.org/v3
            kind: IPPool
            metadata: {name: bad}
            spec:
              cidr: 10.66.0.0/33
            """);

        var result = await _calicoctl.RunAsync($"apply -f {file}");

        Assert.Equal(1, result.ExitCode);
        Assert.Contains("Partial success: applied 1 out of 2 'IPPool' resources: IPPool(pool)", result.Error, StringComparison.Ordinal);
        Assert.Contains($"{file}:10: ", result.Error, StringComparison.Ordinal);
        Assert.Contains("spec.cidr", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_cluster_of_another_version_is_refused_unless_that_is_allowed()
    {
        await _calicoctl.RunAsync("create -f -", Pool);
        var store = new Calico.Datastore.Resources.ResourceStore(_calicoctl.Datastore, TimeProvider.System);
        await store.EnsureInitializedAsync("v9.8.7-2");

        var refused = await _calicoctl.RunAsync("get ippools");
        var allowed = await _calicoctl.RunAsync("get ippools --allow-version-mismatch");
        var version = await _calicoctl.RunAsync("version");

        Assert.Equal((1, "version mismatch.\nClient Version:   v0.1.0\nCluster Version:  9.8.7\nUse --allow-version-mismatch to override\n"), (refused.ExitCode, refused.Error));
        Assert.Equal(0, allowed.ExitCode);
        Assert.Contains("Cluster Version:   v9.8.7-2", version.Out, StringComparison.Ordinal);
        await store.EnsureInitializedAsync("0.1.0-rc1");
        Assert.Equal(0, (await _calicoctl.RunAsync("get ippools")).ExitCode);
    }

    [Fact]
    public async Task Selectors_are_answered_a_line_at_a_time()
    {
        var result = await _calicoctl.RunAsync("selector --batch", """
            {"selector": "a == 'x'", "labels": {"a": "x"}}
            {"selector": "a == 'x'"}
            {"selector": "a = 'x'", "labels": {}}
            nonsense
            """);

        var lines = result.Out.Split('\n');
        Assert.Equal(2, result.ExitCode);
        Assert.Equal(["""{"match":true}""", """{"match":false}""", """{"error":"expected '=='","at":2}"""], lines[..3]);
        Assert.StartsWith("""{"error":"the line is no question""", lines[3], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("a\nb\nc\n", "a\nx\nc\n", "  a\n- b\n+ x\n  c\n")]
    [InlineData("", "a\n", "+ a\n")]
    [InlineData("a\n", "a\n", "")]
    [InlineData("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "0\n2\n3\n4\n5\n6\n7\n8\n0\n", "- 1\n+ 0\n  2\n  3\n  4\n  ...\n  6\n  7\n  8\n- 9\n+ 0\n")]
    public void A_difference_shows_the_lines_around(string before, string after, string expected) =>
        Assert.Equal(expected, Calico.Ctl.Output.LineDiff.Of(before, after, inColour: false));
}
