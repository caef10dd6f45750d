using System.Text;
using System.Text.Json.Nodes;
using Calico.Core.Model.Resources;
using Calico.Datastore;
using Calico.Datastore.Resources;
using Microsoft.Extensions.Time.Testing;

namespace Calico.Tests.Datastore.Golden;

/// <summary>
/// Every golden manifest goes through the typed client into a datastore and comes back. A backend is one derived class
/// that says where its store is; one that holds Calico's own values derives from <see cref="StoredValueTests"/> instead.
/// </summary>
public abstract class RoundTripTests : IAsyncLifetime
{
    protected abstract IDatastore Datastore { get; }

    private protected ResourceStore Store { get; private set; } = null!;

    /// <summary>False for a kind that the backend does not keep itself but derives from something else.</summary>
    protected virtual bool Keeps(ResourceKind kind) => true;

    /// <summary>A number that a store must not round.</summary>
    protected virtual string LargeNumber => "123456789012345678901234567890";

    /// <summary>Leaves an empty store: each test starts with one.</summary>
    protected virtual async Task EmptyAsync()
    {
        while ((await Datastore.ListAsync("/calico/")).Items is { IsEmpty: false } items)
        {
            foreach (var part in items.Chunk(100))
                await Datastore.CommitAsync(new Transaction([], [.. part.Select(i => Write.Delete(i.Key))]));
        }
    }

    public async Task InitializeAsync()
    {
        Store = new ResourceStore(Datastore, new FakeTimeProvider(GoldenCase.Created), () => GoldenCase.Uid);
        await EmptyAsync();
        foreach (var name in new[] { Tier.Default, "platform" })
            await Store.ApplyAsync(new Tier { Metadata = new ObjectMeta { Name = name }, Spec = new TierSpec { Order = Tier.DefaultOrder } });
    }

    public Task DisposeAsync() => Task.CompletedTask;

    [SkippableTheory]
    [MemberData(nameof(GoldenCase.Names), MemberType = typeof(GoldenCase))]
    public async Task A_manifest_reads_back_with_its_defaults_and_nothing_else(string name)
    {
        if (Given(name) is not { } golden)
            return;

        await Store.CreateAsync(golden.Resource());

        var read = await Store.GetAsync(Key(golden));
        AssertSame(golden.Shown, GoldenCase.Show(read));
        if (golden.IsFull)
            AssertSame(JsonNode.Parse(golden.ManifestJson.GetRawText())!, GoldenCase.Show(read));
    }

    [SkippableTheory]
    [MemberData(nameof(GoldenCase.Names), MemberType = typeof(GoldenCase))]
    public async Task What_was_read_back_can_be_applied_again_and_changes_nothing(string name)
    {
        if (Given(name) is not { } golden)
            return;
        await Store.CreateAsync(golden.Resource());
        var first = await Store.GetAsync(Key(golden));

        await Store.ApplyAsync(ResourceCodec.ParseStrict(GoldenCase.Reread(first)));

        var second = await Store.GetAsync(Key(golden));
        Assert.Equal(first with { Metadata = first.Metadata with { ResourceVersion = null } }, second with { Metadata = second.Metadata with { ResourceVersion = null } });
    }

    [SkippableTheory]
    [MemberData(nameof(GoldenCase.Names), MemberType = typeof(GoldenCase))]
    public async Task A_deleted_resource_returns_as_it_was_and_is_gone(string name)
    {
        if (Given(name) is not { } golden)
            return;
        await Store.CreateAsync(golden.Resource());

        var deleted = await Store.DeleteAsync(Key(golden));

        AssertSame(JsonNode.Parse(DeletedForm(golden).ToJsonString())!, GoldenCase.Show(deleted));
        Assert.DoesNotContain((await Store.ListAsync(golden.Kind)).Items, r => r.Key == Key(golden));
    }

    [SkippableTheory]
    [MemberData(nameof(GoldenCase.Names), MemberType = typeof(GoldenCase))]
    public async Task An_update_keeps_the_fields_of_a_later_release_at_every_depth(string name)
    {
        if (Given(name) is not { } golden)
            return;
        var json = golden.WithUnknownFields(LargeNumber);
        await PutAsync(golden.Key, Encoding.UTF8.GetBytes(json.ToJsonString()));
        var read = await Store.GetAsync(Key(golden));

        await Store.UpdateAsync(read with { Metadata = read.Metadata with { Labels = read.Metadata.Labels.With("changed", "yes") } });

        if (json["metadata"]!["labels"] is null)
            json["metadata"]!["labels"] = new JsonObject();
        json["metadata"]!["labels"]!["changed"] = "yes";
        var stored = JsonNode.Parse((await Datastore.GetAsync(golden.Key))!.Value.Span)!;
        AssertSame(GoldenCase.WithoutStoreOwned(json), GoldenCase.WithoutStoreOwned(stored));
    }

    private protected async Task<long> PutAsync(string key, ReadOnlyMemory<byte> value) =>
        (await Datastore.CommitAsync(new Transaction([], [Write.Put(key, value)]))).Revision;

    private protected GoldenCase? Given(string name) => GoldenCase.Find(name) is var golden && Keeps(golden.Kind) ? golden : null;

    // Defaults may compose the name, so it is the stored one.
    private protected static ResourceKey Key(GoldenCase golden) => ResourceDefaults.Apply(golden.Resource()).Key;

    private protected static void AssertSame(JsonNode expected, JsonNode actual) =>
        Assert.True(JsonNode.DeepEquals(expected, actual), $"expected {expected.ToJsonString()}\nbut was  {actual.ToJsonString()}");

    // A pool is disabled before it goes.
    private static JsonNode DeletedForm(GoldenCase golden)
    {
        var json = golden.Shown;
        if (golden.Kind == ResourceKind.IPPool)
            json["spec"]!["disabled"] = true;
        return json;
    }
}
