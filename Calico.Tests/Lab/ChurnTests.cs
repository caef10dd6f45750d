using Calico.Node.Lab;
using Calico.Node.Lab.Churn;

namespace Calico.Tests.Lab;

/// <summary>
/// The churn in small, with real agents: its verdict is what they did, not how fast. A failure's text has the seed, the
/// faults and where the logs are.
/// </summary>
[Layer("lab")]
[Collection("lab")]
public sealed class ChurnTests : IAsyncLifetime
{
    private readonly StringWriter _said = new();
    private readonly global::Calico.Node.Lab.Lab _lab;

    public ChurnTests() => _lab = new global::Calico.Node.Lab.Lab(TestLabs.Place("churn"), new LabOutput(_said, onTerminal: false));

    public async Task InitializeAsync()
    {
        Artifacts.LinkPrograms();
        await TestLabs.SweepAsync();
    }

    public async Task DisposeAsync() => await _lab.DownAsync();

    [Theory]
    [InlineData(nameof(LabDatastore.Embedded), 1)]
    [InlineData(nameof(LabDatastore.Etcd), 2)]
    public async Task Pods_come_and_go_while_everything_fails_and_no_address_is_lost_or_doubled(string datastore, int seed)
    {
        var options = new ChurnOptions(3, 40, TimeSpan.FromSeconds(40), seed, Enum.Parse<LabDatastore>(datastore));

        var exit = await new ChurnRun(_lab, options).RunAsync(CancellationToken.None);

        Assert.True(exit == 0, _said.ToString());
        Assert.Empty(_lab.Topology.Namespaces());
    }
}
