namespace Calico.Tests.Ctl;

[Layer("unit")]
public sealed class SeveralDocumentsTests : IDisposable
{
    private readonly CalicoctlRunner _calicoctl = new();

    public void Dispose() => _calicoctl.Dispose();

    [Fact]
    public async Task Validate_has_a_line_for_every_problem_of_every_document()
    {
        var result = await _calicoctl.RunAsync("validate -f -", """
            apiVersion: projectcalico.org/v3
            kind: GlobalNetworkSet
            metadata: {name: a}
            spec: {nets: [300.1.1.1/32], netz: []}
            ---
            apiVersion: projectcalico.org/v3
            kind: IPPoool
            ---
            apiVersion: projectcalico.org/v3
            kind: IPPool
            metadata: {name: c}
            spec:
              cidr: 10.0.0.0/16
              ipipMode: Sometimes
              vxlanMode: Rarely
            ---
            apiVersion: projectcalico.org/v3
            kind: Node
            metadata: {name: d}
            """);

        var lines = result.Error.TrimEnd('\n').Split('\n');
        Assert.Equal(1, result.ExitCode);
        Assert.True(lines.Length == 6, result.Error);
        Assert.StartsWith("failed to execute command: stdin:4: GlobalNetworkSet(a): error with field spec.netz", lines[0], StringComparison.Ordinal);
        Assert.StartsWith("stdin:4: GlobalNetworkSet(a): error with field spec.nets[0]", lines[1], StringComparison.Ordinal);
        Assert.StartsWith("stdin:7: resource: error with field kind", lines[2], StringComparison.Ordinal);
        Assert.All(lines[3..], l => Assert.StartsWith("stdin:1", l, StringComparison.Ordinal));
        Assert.Contains(lines, l => l.StartsWith("stdin:14: IPPool(c): error with field spec.ipipMode", StringComparison.Ordinal));
        Assert.Contains(lines, l => l.StartsWith("stdin:15: IPPool(c): error with field spec.vxlanMode", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_file_with_several_unusable_documents_names_them_all_and_writes_nothing()
    {
        var result = await _calicoctl.RunAsync("apply -f -", """
            {"apiVersion": "projectcalico.org/v3", "kind": "IPPool", "metadata": {"name": "pool"}, "spec": {"cidr": "10.65.0.0/16"}}
            ---
            kind: A
            ---
            kind: B
            """);

        Assert.Equal(1, result.ExitCode);
        Assert.Contains("stdin:3: resource: error with field kind (unknown resource type (A)", result.Error, StringComparison.Ordinal);
        Assert.Contains("\nstdin:5: resource: error with field kind (unknown resource type (B)", result.Error, StringComparison.Ordinal);
        Assert.Empty(_calicoctl.Datastore.Keys);
    }

    [Theory]
    [InlineData("yaml")]
    [InlineData("json")]
    public async Task What_convert_prints_for_several_documents_can_be_read_again(string format)
    {
        const string policies = """
            {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "a"}, "spec": {"podSelector": {}}}
            ---
            {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "b"}, "spec": {"podSelector": {}}}
            """;

        var converted = await _calicoctl.RunAsync($"convert -f - -o {format}", policies);
        var validated = await _calicoctl.RunAsync("validate -f -", converted.Out);

        Assert.Equal("Successfully validated 2 'NetworkPolicy' resource(s)\n", validated.Output);
    }
}
