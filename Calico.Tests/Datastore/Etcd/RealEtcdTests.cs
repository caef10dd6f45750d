using System.Text;
using Calico.Datastore;
using Calico.Datastore.Etcd;

namespace Calico.Tests.Datastore.Etcd;

/// <summary>The client against an etcd that is killed, or that wants to know who it is.</summary>
[Layer("conformance")]
public sealed class RealEtcdTests
{
    [Fact]
    public async Task A_watch_survives_kills_of_etcd_without_loss_or_repetition()
    {
        await using var etcd = await EtcdProcess.StartAsync();
        await using var store = new EtcdDatastore(new EtcdOptions { Endpoints = [etcd.Url], RequestTimeout = TimeSpan.FromSeconds(60) });
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(180));
        var start = await store.PutAsync("/start");
        var watch = CollectAsync(store, start, 60, patience.Token);

        for (var i = 0; i < 60; i++)
        {
            if (i % 20 == 10)
            {
                await etcd.KillAsync();
                await etcd.RunAsync();
            }
            // A commit that met the kill is repeated by compare-and-swap: it is in there once.
            await SetAsync(store, i);
        }

        Assert.Equal(Enumerable.Range(0, 60).Select(i => $"{i}"), await watch);
    }

    [Fact]
    public async Task A_cluster_that_loses_one_member_after_the_other_loses_no_write_and_no_event()
    {
        var members = await EtcdProcess.StartClusterAsync(3);
        try
        {
            await using var store = new EtcdDatastore(new EtcdOptions { Endpoints = [.. members.Select(m => m.Url)], RequestTimeout = TimeSpan.FromSeconds(60) });
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(180));
            var start = await store.PutAsync("/start");
            var watch = CollectAsync(store, start, 60, patience.Token);

            for (var i = 0; i < 60; i++)
            {
                // Each of the three once, the leader among them; two are a majority meanwhile.
                if (i % 20 == 5)
                    await members[i / 20].KillAsync();
                await SetAsync(store, i);
                if (i % 20 == 15)
                    await members[i / 20].RunAsync();
            }

            Assert.Equal(Enumerable.Range(0, 60).Select(i => $"{i}"), await watch);
        }
        finally
        {
            foreach (var member in members)
                await member.DisposeAsync();
        }
    }

    private static async Task SetAsync(EtcdDatastore store, int i)
    {
        while (true)
        {
            try
            {
                var key = $"/a/{i:d2}";
                await store.CommitAsync(new Transaction([Compare.Absent(key)], [Write.Put(key, Encoding.UTF8.GetBytes($"{i}"))]));
                return;
            }
            catch (DatastoreException e) when (e.Fault == DatastoreFault.Unavailable)
            {
                // Unknown whether it is there: the compare finds out.
            }
        }
    }

    private static async Task<List<string>> CollectAsync(EtcdDatastore store, long after, int count, CancellationToken cancellation)
    {
        List<string> seen = [];
        await foreach (var batch in store.WatchAsync("/a/", after, cancellation))
        {
            seen.AddRange(batch.Select(e => Encoding.UTF8.GetString(e.Current!.Value.Span)));
            if (seen.Count >= count)
                break;
        }
        return seen;
    }

    [Fact]
    public async Task With_authentication_on_the_right_user_gets_in_and_only_where_its_role_lets_it()
    {
        await using var etcd = await EtcdProcess.StartAsync("--auth-token-ttl", "2");
        foreach (var command in (string[])[
            "user add root:top", "user grant-role root root", "user add calico:secret", "role add calico",
            "role grant-permission calico --prefix=true readwrite /calico/", "user grant-role calico calico", "auth enable"])
        {
            var (status, output, errors) = await ChildProcess.RunAsync(["etcdctl", "--endpoints", etcd.Url, .. command.Split(' ')]);
            Assert.True(status == 0 || command.StartsWith("role add", StringComparison.Ordinal), $"{command}: {output}{errors}");
        }
        var options = new EtcdOptions { Endpoints = [etcd.Url], Username = "calico", Password = "secret" };
        await using var store = new EtcdDatastore(options);
        await using var wrong = new EtcdDatastore(options with { Password = "guess" });
        await using var nobody = new EtcdDatastore(options with { Username = null, Password = null });

        var revision = await store.PutAsync("/calico/a");

        await foreach (var batch in store.WatchAsync("/calico/", revision - 1))
        {
            Assert.Equal("/calico/a", batch.Single().Key);
            break;
        }
        foreach (var (refused, key) in new[] { (wrong, "/calico/a"), (nobody, "/calico/a"), (store, "/elsewhere") })
            Assert.Equal(DatastoreFault.Denied, (await DatastoreExtensions.FaultAsync(() => refused.GetAsync(key))).Fault);
        Assert.Equal(DatastoreFault.Denied, (await DatastoreExtensions.FaultAsync(async () =>
        {
            await foreach (var _ in store.WatchAsync("/elsewhere", 1))
                break;
        })).Fault);
    }
}
