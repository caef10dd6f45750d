using Calico.Core.Policy.Distribution;
using Calico.Datastore;

namespace Calico.Tests.Ctl;

[Layer("unit")]
public sealed class EnforcementWaitTests : IDisposable
{
    private const string Nodes = """
        [{"apiVersion":"projectcalico.org/v3","kind":"Node","metadata":{"name":"n1"}},
         {"apiVersion":"projectcalico.org/v3","kind":"Node","metadata":{"name":"n2"}}]
        """;

    private const string Set = """{"apiVersion":"projectcalico.org/v3","kind":"GlobalNetworkSet","metadata":{"name":"a"},"spec":{"nets":["192.0.2.0/24"]}}""";

    private readonly CalicoctlRunner _calicoctl = new();

    public void Dispose() => _calicoctl.Dispose();

    [Fact]
    public async Task Apply_waits_until_every_node_has_answered()
    {
        await _calicoctl.RunAsync("create -f -", Nodes);
        var answered = AnswerAsync("n1", "n2", "stranger");

        var result = await _calicoctl.RunAsync("apply --wait -f -", Set);

        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.Contains($"In force at revision {await answered} on 2/2 nodes", result.Out, StringComparison.Ordinal);
        Assert.DoesNotContain(_calicoctl.Datastore.Keys, k => k.StartsWith(EnforcementKeys.RequestPrefix, StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_node_that_does_not_answer_is_named()
    {
        await _calicoctl.RunAsync("create -f -", Nodes);
        var answered = AnswerAsync("n2");
        var waiting = _calicoctl.RunAsync("apply --wait --timeout 30 -f -", Set);
        await answered;
        // Until the answer has been read the time must not run out.
        while (!waiting.IsCompleted)
        {
            _calicoctl.Time.Advance(TimeSpan.FromSeconds(10));
            await Task.Yield();
        }

        var result = await waiting;

        Assert.Equal(1, result.ExitCode);
        Assert.Contains("after 30 s it is in force on ", result.Error, StringComparison.Ordinal);
        Assert.Contains("n1", result.Error, StringComparison.Ordinal);
        Assert.Contains("/calico/resources/v3/projectcalico.org/globalnetworksets/a", _calicoctl.Datastore.Keys);
    }

    [Fact]
    public async Task Without_nodes_there_is_nothing_to_wait_for() =>
        Assert.Contains("There is no node", (await _calicoctl.RunAsync("apply --wait -f -", Set)).Out, StringComparison.Ordinal);

    [Theory]
    [InlineData("0")]
    [InlineData("241")]
    public async Task A_timeout_that_requests_would_not_survive_is_refused(string seconds) =>
        Assert.Contains("--timeout must be from 1 to 240", (await _calicoctl.RunAsync($"apply --wait --timeout {seconds} -f -", Set)).Error, StringComparison.Ordinal);

    // Plays the nodes: answers the first request, and returns the revision it asks for.
    private async Task<long> AnswerAsync(params string[] nodes)
    {
        await foreach (var events in _calicoctl.Datastore.WatchAsync(EnforcementKeys.RequestPrefix, 0))
        {
            foreach (var request in events)
            {
                Assert.True(EnforcementKeys.TryParseRequest(request.Key, out var id));
                Assert.True(EnforcementKeys.TryRead(request.Current!.Value, out var revision));
                foreach (var node in nodes)
                    await _calicoctl.Datastore.CommitAsync(new Transaction([], [Write.Put(EnforcementKeys.Answer(id, node), EnforcementKeys.Write(revision))]));
                return revision;
            }
        }
        return 0;
    }
}
