using System.Diagnostics;

namespace Calico.Tests.Ctl;

/// <summary>
/// The published calicoctl, compiled ahead and trimmed, says what the library says: what reflection needs is still there.
/// </summary>
[Layer("aot")]
public class CalicoctlAotTests
{
    private const string Valid = """
        apiVersion: projectcalico.org/v3
        kind: GlobalNetworkPolicy
        metadata: {name: web}
        spec:
          selector: app == 'web'
          ingress: [{action: Allow, protocol: TCP, destination: {ports: [80, "100:200"]}}]
        """;

    private const string Wrong = """
        apiVersion: projectcalico.org/v3
        kind: BGPConfiguration
        metadata: {name: default}
        spec: {asNumber: 64512, listenPort: 70000, bindMode: Sometimes, communities: [{name: x, value: abc}], nodeToNodeMesh: true}
        ---
        apiVersion: projectcalico.org/v3
        kind: IPPool
        metadata: {name: p}
        spec: {cidr: 10.0.0.0/30, blockSize: 26, ipipMode: Maybe, nodeSelector: "a =="}
        """;

    private const string Kubernetes = """
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata: {name: db, namespace: shop}
        spec:
          podSelector: {matchLabels: {app: db}}
          ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: team, operator: In, values: [a, b]}]}}], ports: [{port: 5432}]}]
        """;

    public static TheoryData<string, string> Commands => new()
    {
        { "validate -f -", Valid },
        { "validate -f -", Wrong },
        { "validate -f -", "kind: Nonsense" },
        { "validate -f -", "a: [" },
        { "convert -f - -o yaml", Kubernetes },
        { "convert -f - -o json", Kubernetes },
        { "selector has(app)", "" },
        { "selector app==", "" },
        { "frobnicate", "" },
        { "version --client", "" },
    };

    [Theory]
    [MemberData(nameof(Commands))]
    public async Task The_published_program_answers_as_the_library_does(string command, string input)
    {
        using var library = new CalicoctlRunner();
        var expected = await library.RunAsync(command, input);

        using var process = Process.Start(new ProcessStartInfo(Artifacts.Calicoctl(), command.Split(' '))
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        await process.StandardInput.WriteAsync(input);
        process.StandardInput.Close();
        var output = process.StandardOutput.ReadToEndAsync();
        var error = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();

        Assert.Equal(expected, new CommandResult(process.ExitCode, await output, await error));
    }

    [Fact]
    public async Task On_a_terminal_it_writes_what_it_says_and_nothing_else()
    {
        using var process = Process.Start(new ProcessStartInfo("script", ["-qec", $"{Artifacts.Calicoctl()} selector 'all()'", "/dev/null"])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        })!;
        process.StandardInput.Close();
        var output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();

        Assert.StartsWith("canonical: all()", output, StringComparison.Ordinal);
    }
}
