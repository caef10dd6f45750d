using System.Text;
using Calico.Core.Model.Resources;
using Calico.Datastore;
using Calico.Datastore.Resources;
using Microsoft.Extensions.Time.Testing;

namespace Calico.Tests.Datastore.Resources;

[Layer("unit")]
public class LegacyPolicyNamesTests
{
    private const string Root = "/calico/resources/v3/projectcalico.org/";

    private readonly InMemoryDatastore _datastore = new();

    private async Task PutAsync(string key, string value) =>
        await _datastore.CommitAsync(new Transaction([], [Write.Put(Root + key, Encoding.UTF8.GetBytes(value))]));

    private static string Policy(string kind, string name, string more = "") =>
        $$$"""{"kind":"{{{kind}}}","apiVersion":"projectcalico.org/v3","metadata":{"name":"{{{name}}}"{{{more}}} },"spec":{"tier":"default","order":7,"fromTheFuture":1}}""";

    [Theory]
    [InlineData("GlobalNetworkPolicy", "globalnetworkpolicies/")]
    [InlineData("NetworkPolicy", "networkpolicies/web/")]
    [InlineData("StagedGlobalNetworkPolicy", "stagedglobalnetworkpolicies/")]
    [InlineData("StagedNetworkPolicy", "stagednetworkpolicies/web/")]
    public async Task A_policy_moves_to_the_key_of_its_name_with_all_that_it_has(string kind, string folder)
    {
        var ns = folder.Contains("web", StringComparison.Ordinal) ? ",\"namespace\":\"web\"" : "";
        await PutAsync(folder + "default.a", Policy(kind, "default.a", ns));
        var store = new ResourceStore(_datastore, new FakeTimeProvider());
        Assert.True(ResourceKey.TryParse(Root + folder + "a", out var key));
        var before = await store.GetAsync(key);

        Assert.Equal(1, await LegacyPolicyNames.MigrateAsync(_datastore));

        var after = await store.GetAsync(key);
        Assert.Equal(Root + folder + "a", Assert.Single(_datastore.Keys));
        Assert.Equal(before with { Metadata = before.Metadata with { ResourceVersion = null } }, after with { Metadata = after.Metadata with { ResourceVersion = null } });
        Assert.Contains("fromTheFuture", Encoding.UTF8.GetString((await _datastore.GetAsync(key.Path))!.Value.Span), StringComparison.Ordinal);
        Assert.Equal(0, await LegacyPolicyNames.MigrateAsync(_datastore));
    }

    [Fact]
    public async Task What_stands_under_its_own_name_stays()
    {
        await PutAsync("globalnetworkpolicies/a", Policy("GlobalNetworkPolicy", "a"));
        await PutAsync("globalnetworkpolicies/default.b", Policy("GlobalNetworkPolicy", "default.b", ""","annotations":{"projectcalico.org/metadata":"{\"name\":\"default.b\"}"}"""));
        await PutAsync("globalnetworkpolicies/security.default.c", """{"kind":"GlobalNetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{"name":"security.default.c"},"spec":{"tier":"security"}}""");
        await PutAsync("networkpolicies/web/knp.default.d", Policy("NetworkPolicy", "knp.default.d"));
        await PutAsync("globalnetworkpolicies/default.broken", "{");
        var before = _datastore.Keys.Order().ToList();

        Assert.Equal(0, await LegacyPolicyNames.MigrateAsync(_datastore));
        Assert.Equal(before, _datastore.Keys.Order());
    }

    [Fact]
    public async Task A_policy_that_is_stored_under_both_keys_loses_the_old_one()
    {
        await PutAsync("globalnetworkpolicies/default.a", Policy("GlobalNetworkPolicy", "default.a"));
        await PutAsync("globalnetworkpolicies/a", Policy("GlobalNetworkPolicy", "a", ""","labels":{"newer":"yes"}"""));

        Assert.Equal(1, await LegacyPolicyNames.MigrateAsync(_datastore));

        Assert.Equal(Root + "globalnetworkpolicies/a", Assert.Single(_datastore.Keys));
        Assert.Contains("newer", Encoding.UTF8.GetString((await _datastore.GetAsync(Root + "globalnetworkpolicies/a"))!.Value.Span), StringComparison.Ordinal);
    }
}
