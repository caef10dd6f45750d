using Calico.Datastore;
using Calico.Datastore.Kubernetes;
using Calico.Tests.Datastore.Kubernetes.Fake;

namespace Calico.Tests.Datastore.Kubernetes;

/// <summary>A client of the fake API server.</summary>
public sealed class FakeApiFixture : IAsyncLifetime
{
    public FakeApi Api { get; } = new();

    public KubernetesDatastore Store { get; private set; } = null!;

    public KubernetesOptions Options => Api.Options;

    public Task InitializeAsync()
    {
        Store = Api.Open();
        return Task.CompletedTask;
    }

    public async Task DisposeAsync() => await Store.DisposeAsync();
}

/// <summary>What the Kubernetes backend promises, against any API server.</summary>
public abstract class KubernetesContractTests : WatchContractTests
{
    // The API server does not tell how much it stores, and compacts by itself.
    protected override bool TellsSize => false;

    [SkippableFact]
    public override async Task A_compaction_is_done_once_and_not_of_the_future()
    {
        var revision = await PutAsync("a", "0");

        Assert.Equal(DatastoreFault.Invalid, await FaultOf(() => Maintenance.CompactAsync(revision)));
    }

    [SkippableFact]
    public async Task Writing_what_is_there_already_takes_a_revision_and_is_told()
    {
        var first = await PutAsync("a", "same");
        var second = await PutAsync("a", "same");
        var third = await PutAsync("a", "same");

        var told = (await WatchAsync(Root, first, 2)).SelectMany(b => b);

        Assert.True(first < second && second < third);
        Assert.Equal([second, third], told.Select(e => e.Revision));
    }

    [SkippableFact]
    public async Task A_watch_does_not_tell_again_what_the_transaction_before_it_changed()
    {
        await PutAsync("gone", "0");
        var result = await CommitAsync([], Write.Put(Root + "a", Text("1")), Write.Put(Root + "b", Text("1")), Write.Delete(Root + "gone"));

        var watch = WatchAsync(Root, result.Revision, 1);
        var next = await PutAsync("c", "1");

        var told = Assert.Single(Assert.Single(await watch));
        Assert.Equal((Root + "c", next), (told.Key, told.Revision));
    }
}

[Layer("unit")]
public sealed class FakeContractTests(FakeApiFixture fixture) : KubernetesContractTests, IClassFixture<FakeApiFixture>
{
    protected override IDatastore Store => fixture.Store;

    protected override Task CompactAsync(long revision)
    {
        fixture.Api.Store.Compact(revision);
        return Task.CompletedTask;
    }
}
