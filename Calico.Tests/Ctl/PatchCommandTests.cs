using System.Text;
using Calico.Datastore;

namespace Calico.Tests.Ctl;

[Layer("unit")]
public sealed class PatchCommandTests : IDisposable
{
    private const string Key = "/calico/resources/v3/projectcalico.org/globalnetworksets/blocked";

    private const string Set = """
        apiVersion: projectcalico.org/v3
        kind: GlobalNetworkSet
        metadata: {name: blocked, labels: {role: bad}}
        spec: {nets: [192.0.2.0/24, 198.51.100.0/24]}
        """;

    private readonly CalicoctlRunner _calicoctl = new();

    public void Dispose() => _calicoctl.Dispose();

    [Theory]
    [InlineData("strategic", """{"metadata":{"labels":{"more":"yes"}}}""", "\"labels\":{\"more\":\"yes\",\"role\":\"bad\"}")]
    [InlineData("merge", """{"spec":{"nets":["203.0.113.0/24"]}}""", "\"nets\":[\"203.0.113.0/24\"]")]
    [InlineData("json", """[{"op":"remove","path":"/spec/nets/0"}]""", "\"nets\":[\"198.51.100.0/24\"]")]
    [InlineData("strategic", "metadata: {labels: {more: 'yes'}}", "\"more\":\"yes\"")]
    public async Task A_patch_changes_what_it_names(string type, string patch, string expected)
    {
        await _calicoctl.RunAsync("create -f -", Set);

        var result = await _calicoctl.RunAsync(["patch", "gns", "blocked", "--type", type, "-p", patch]);

        Assert.Equal(new CommandResult(0, "Successfully patched 1 'GlobalNetworkSet' resource\n", ""), result);
        Assert.Contains(expected, await StoredAsync(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"spec":{"netts":[]}}""", "spec.netts")]
    [InlineData("""{"spec":{"nets":["192.0.2.300/24"]}}""", "spec.nets[0]")]
    [InlineData("""{"metadata":{"name":"other"}}""", "cannot be changed")]
    [InlineData("""{"spec":""", "neither JSON nor YAML")]
    public async Task A_patch_that_does_not_fit_changes_nothing(string patch, string expected)
    {
        await _calicoctl.RunAsync("create -f -", Set);
        var before = await StoredAsync();

        var result = await _calicoctl.RunAsync(["patch", "globalnetworkset", "blocked", "-p", patch]);

        Assert.Equal(1, result.ExitCode);
        Assert.Contains(expected, result.Error, StringComparison.Ordinal);
        Assert.Equal(before, await StoredAsync());
    }

    [Fact]
    public async Task A_field_of_a_newer_program_survives_and_is_no_error()
    {
        await _calicoctl.RunAsync("create -f -", Set);
        var stored = await _calicoctl.Datastore.GetAsync(Key);
        var newer = (await StoredAsync()).Replace("\"spec\":{", "\"spec\":{\"futureField\":7,", StringComparison.Ordinal);
        await _calicoctl.Datastore.CommitAsync(new Transaction([Compare.At(Key, stored!.ModRevision)], [Write.Put(Key, Encoding.UTF8.GetBytes(newer))]));

        var result = await _calicoctl.RunAsync(["patch", "gns", "blocked", "-p", """{"metadata":{"labels":{"a":"b"}}}"""]);

        Assert.Equal("", result.Error);
        Assert.Contains("\"futureField\":7", await StoredAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nobody_is_patched_who_does_not_exist()
    {
        var result = await _calicoctl.RunAsync(["patch", "gns", "blocked", "-p", "{}"]);

        Assert.Equal(1, result.ExitCode);
        Assert.Contains("Failed to patch 'GlobalNetworkSet' resource: resource does not exist: GlobalNetworkSet(blocked)", result.Error, StringComparison.Ordinal);
    }

    private async Task<string> StoredAsync() => Encoding.UTF8.GetString((await _calicoctl.Datastore.GetAsync(Key))!.Value.Span);
}
