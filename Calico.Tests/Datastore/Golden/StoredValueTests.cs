using System.Text;
using System.Text.Json.Nodes;
using Calico.Core.Model.Resources;
using Calico.Datastore;

namespace Calico.Tests.Datastore.Golden;

/// <summary>For datastores that hold Calico's etcd values as they are: what is written and read is byte for byte Calico's.</summary>
public abstract class StoredValueTests : RoundTripTests
{
    [Theory]
    [MemberData(nameof(GoldenCase.Names), MemberType = typeof(GoldenCase))]
    public async Task A_created_manifest_is_under_the_key_and_in_the_bytes_that_Calico_writes(string name)
    {
        var golden = GoldenCase.Find(name);

        await Store.CreateAsync(golden.Resource());

        var stored = await Datastore.GetAsync(golden.Key);
        Assert.NotNull(stored);
        Assert.Equal(Encoding.UTF8.GetString(golden.Bytes), Encoding.UTF8.GetString(stored.Value.Span));
    }

    [Theory]
    [MemberData(nameof(GoldenCase.Names), MemberType = typeof(GoldenCase))]
    public async Task A_value_that_Calico_wrote_reads_as_its_manifest(string name)
    {
        var golden = GoldenCase.Find(name);
        var put = await PutAsync(golden.Key, golden.Bytes);

        var read = await Store.GetAsync(Key(golden));

        AssertSame(golden.Shown, GoldenCase.Show(read));
        Assert.Equal($"{put}", read.Metadata.ResourceVersion);
        Assert.Equal((GoldenCase.Uid.ToString(), GoldenCase.Created), (read.Metadata.Uid, read.Metadata.CreationTimestamp));
        Assert.Contains(read, (await Store.ListAsync(golden.Kind)).Items);
    }

    [Fact]
    public async Task All_kinds_are_listed_out_of_one_dump_with_other_keys_between_them()
    {
        await EmptyAsync();
        // Of cases with the same key the last one stays.
        foreach (var golden in GoldenCase.All)
            await PutAsync(golden.Key, golden.Bytes);
        foreach (var key in new[]
        {
            "/calico/resources/v3/projectcalico.org/ippoolsofthefuture/x", "/calico/resources/v3/projectcalico.org/livemigrations/web/x",
            "/calico/resources/v3/projectcalico.org/networkpolicies/x", "/calico/ipam/v2/config", "/calico/ipam/v2/host/n1",
            "/calico/felix/v2/no-region/host/n1/status",
        })
            await PutAsync(key, "{}"u8.ToArray());

        foreach (var kind in ResourceKind.All)
        {
            var list = await Store.ListAsync(kind);

            Assert.Empty(list.Unreadable);
            Assert.Equal(
                GoldenCase.All.Where(c => c.Kind == kind).Select(c => c.Key).Distinct().Order(StringComparer.Ordinal),
                list.Items.Where(r => r.Name != Profile.DefaultAllow).Select(r => r.Key.Path).Order(StringComparer.Ordinal));
        }
    }
}
