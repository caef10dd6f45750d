using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Calico.Datastore;
using Calico.Datastore.Etcd;
using Microsoft.Extensions.Time.Testing;

namespace Calico.Tests.Datastore.Etcd;

/// <summary>What the client does when members go away, come back, hang, or ask who it is.</summary>
[Layer("unit")]
public sealed class EtcdDatastoreTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    [Fact]
    public async Task A_dead_endpoint_is_passed_over_by_reads_commits_and_watches()
    {
        await using var served = await ServedStore.StartAsync();
        var dead = $"http://127.0.0.1:{EtcdProcess.FreePort()}";
        // The order is shuffled: some of these begin with the dead one.
        for (var i = 0; i < 6; i++)
        {
            await using var store = served.Connect(o => o with { Endpoints = [dead, served.Url] });

            var revision = await store.PutAsync($"/a/{i}");

            Assert.NotNull(await store.GetAsync($"/a/{i}"));
            await foreach (var batch in store.WatchAsync("/a/", revision - 1))
            {
                Assert.Equal($"/a/{i}", batch.Single().Key);
                break;
            }
        }
    }

    [Fact]
    public async Task With_no_endpoint_alive_a_call_ends_as_unavailable_and_says_what_it_tried()
    {
        var dead = $"http://127.0.0.1:{EtcdProcess.FreePort()}";
        await using var store = new EtcdDatastore(new EtcdOptions { Endpoints = [dead], RequestTimeout = TimeSpan.FromSeconds(2) });

        var fault = await DatastoreExtensions.FaultAsync(() => store.PutAsync("/a"));

        Assert.Equal(DatastoreFault.Unavailable, fault.Fault);
        Assert.Contains(dead, fault.Message, StringComparison.Ordinal);
        Assert.Contains("commit of /a", fault.Message, StringComparison.Ordinal);
        Assert.Contains("Connection refused", fault.Message, StringComparison.Ordinal);
        // It was never sent, so there is no doubt about it.
        Assert.DoesNotContain("may or may not", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task With_several_endpoints_dead_each_is_named_with_its_reason()
    {
        var refuses = $"http://127.0.0.1:{EtcdProcess.FreePort()}";
        const string unknown = "http://member.invalid:2379";
        await using var store = new EtcdDatastore(new EtcdOptions { Endpoints = [refuses, unknown], RequestTimeout = TimeSpan.FromSeconds(2) });

        var fault = await DatastoreExtensions.FaultAsync(() => store.GetAsync("/a"));

        Assert.Equal(DatastoreFault.Unavailable, fault.Fault);
        Assert.Contains($"{refuses}: 127.0.0.1", fault.Message, StringComparison.Ordinal);
        Assert.Contains("Connection refused", fault.Message, StringComparison.Ordinal);
        Assert.Contains($"{unknown}: member.invalid", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_call_waits_for_a_server_that_is_coming_back()
    {
        await using var served = await ServedStore.StartAsync();
        await using var store = served.Connect();
        await store.PutAsync("/a");
        await served.StopServingAsync();

        var put = store.PutAsync("/b");
        await served.ServeAsync();

        await put;
        Assert.NotNull(await store.GetAsync("/b"));
    }

    [Fact]
    public async Task A_commit_that_was_sent_and_not_answered_is_not_sent_again()
    {
        using var silent = new SilentServer();
        await using var store = new EtcdDatastore(new EtcdOptions
        {
            Endpoints = [silent.Url],
            RequestTimeout = TimeSpan.FromSeconds(20),
            KeepAliveInterval = TimeSpan.FromSeconds(1),
            KeepAliveTimeout = TimeSpan.FromSeconds(1),
        });

        var fault = await DatastoreExtensions.FaultAsync(() => store.PutAsync("/a"));

        Assert.Equal(DatastoreFault.Unavailable, fault.Fault);
        Assert.Contains("may or may not have been carried out", fault.Message, StringComparison.Ordinal);
        Assert.Equal(1, silent.Connections);
    }

    [Fact]
    public async Task A_read_that_was_not_answered_is_tried_on_the_next_endpoint()
    {
        await using var served = await ServedStore.StartAsync();
        await served.Store.PutAsync("/a");
        using var silent = new SilentServer();
        for (var i = 0; i < 3; i++)
        {
            await using var store = served.Connect(o => o with { Endpoints = [silent.Url, served.Url], RequestTimeout = TimeSpan.FromSeconds(9) });

            Assert.NotNull(await store.GetAsync("/a"));
        }
    }

    [Fact]
    public async Task A_watch_survives_restarts_of_the_server_without_loss_or_repetition()
    {
        await using var served = await ServedStore.StartAsync();
        await using var store = served.Connect();
        using var patience = new CancellationTokenSource(Patience);
        var start = await store.PutAsync("/start");
        var seen = CollectAsync(store, start, 30, patience.Token);

        for (var round = 0; round < 3; round++)
        {
            for (var i = 0; i < 5; i++)
                await served.Store.PutAsync("/a", $"{round * 10 + i}");
            await served.StopServingAsync();
            for (var i = 5; i < 10; i++)
                await served.Store.PutAsync("/a", $"{round * 10 + i}");
            await served.ServeAsync();
        }

        Assert.Equal(Enumerable.Range(0, 30).Select(i => $"{i}"), await seen);
    }

    private static async Task<List<string>> CollectAsync(EtcdDatastore store, long after, int count, CancellationToken cancellation)
    {
        List<string> seen = [];
        await foreach (var batch in store.WatchAsync("/a", after, cancellation))
        {
            seen.AddRange(batch.Select(e => Encoding.UTF8.GetString(e.Current!.Value.Span)));
            if (seen.Count >= count)
                break;
        }
        return seen;
    }

    [Fact]
    public async Task A_watch_that_lost_its_history_while_away_ends_as_compacted()
    {
        await using var served = await ServedStore.StartAsync();
        await using var store = served.Connect();
        var start = await store.PutAsync("/a");
        await using var watch = store.WatchAsync("/a", start - 1).GetAsyncEnumerator();
        Assert.True(await watch.MoveNextAsync());

        await served.StopServingAsync();
        await served.Store.PutAsync("/a");
        await served.Store.CompactAsync(await served.Store.PutAsync("/a"));
        await served.ServeAsync();

        var fault = await DatastoreExtensions.FaultAsync(async () => await watch.MoveNextAsync());
        Assert.Equal(DatastoreFault.Compacted, fault.Fault);
    }

    [Fact]
    public async Task A_watch_that_was_told_of_progress_resumes_beyond_a_compaction()
    {
        await using var served = await ServedStore.StartAsync(new EtcdServerOptions { ProgressInterval = TimeSpan.FromMilliseconds(20) });
        var options = new EtcdOptions { Endpoints = [served.Url] };
        using var endpoints = new EtcdEndpoints(options);
        using var calls = new EtcdCalls(options, endpoints);
        using var patience = new CancellationTokenSource(Patience);
        await using var watch = new EtcdWatch(options, endpoints, calls, "/quiet"u8.ToArray(), after: 1);
        var read = watch.ReadAsync(patience.Token);
        await served.Store.PutAsync("/loud");
        var last = await served.Store.PutAsync("/loud");
        while (watch.Next <= last)
            await Task.Delay(5, patience.Token);

        await served.StopServingAsync();
        await served.Store.CompactAsync(last);
        await served.ServeAsync();
        await served.Store.PutAsync("/quiet");

        Assert.Equal("/quiet", (await read).Single().Key);
    }

    [Fact]
    public async Task A_watch_sees_that_the_store_was_replaced_by_another()
    {
        await using var first = await ServedStore.StartAsync();
        await using var second = await ServedStore.StartAsync();
        await second.StopServingAsync();
        await using var store = first.Connect(o => o with { Endpoints = [first.Url, second.Url] });
        await using var watch = store.WatchAsync("/a", await first.Store.PutAsync("/a") - 1).GetAsyncEnumerator();
        Assert.True(await watch.MoveNextAsync());

        await second.ServeAsync();
        await first.StopServingAsync();

        var fault = await DatastoreExtensions.FaultAsync(async () => await watch.MoveNextAsync());
        Assert.Equal(DatastoreFault.Compacted, fault.Fault);
        Assert.Contains("another store", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_revision_in_fragments_is_put_together()
    {
        await using var served = await ServedStore.StartAsync(new EtcdServerOptions { MaxWatchBytes = 1_000 });
        await using var store = served.Connect();
        var start = await store.PutAsync("/start");

        await store.CommitAsync(new Transaction([], [.. Enumerable.Range(0, 50).Select(i => Write.Put($"/a/{i:d2}", new byte[300]))]));
        await store.PutAsync("/a/last");

        List<ImmutableArray<WatchEvent>> batches = [];
        await foreach (var batch in store.WatchAsync("/a/", start))
        {
            batches.Add(batch);
            if (batch[^1].Key == "/a/last")
                break;
        }
        Assert.True(batches[0].Length >= 50, $"a batch of {batches[0].Length}");
        Assert.Equal(51, batches.Sum(b => b.Length));
    }

    [Fact]
    public async Task A_wrong_password_is_denied_at_once()
    {
        await using var served = await ServedStore.StartAsync(new EtcdServerOptions { Username = "calico", Password = "secret" });
        await using var wrong = served.Connect(o => o with { Username = "calico", Password = "guess" });
        await using var nobody = served.Connect();

        Assert.Equal(DatastoreFault.Denied, (await DatastoreExtensions.FaultAsync(() => wrong.GetAsync("/a"))).Fault);
        Assert.Equal(DatastoreFault.Denied, (await DatastoreExtensions.FaultAsync(() => nobody.GetAsync("/a"))).Fault);
        Assert.Equal(DatastoreFault.Denied, (await DatastoreExtensions.FaultAsync(() => FirstAsync(wrong))).Fault);
        Assert.Equal(DatastoreFault.Denied, (await DatastoreExtensions.FaultAsync(() => FirstAsync(nobody))).Fault);
    }

    private static async Task FirstAsync(EtcdDatastore store)
    {
        await foreach (var _ in store.WatchAsync("/", 1))
            break;
    }

    [Fact]
    public async Task A_token_that_ran_out_is_renewed_unseen()
    {
        var time = new FakeTimeProvider(TimeProvider.System.GetUtcNow());
        await using var served = await ServedStore.StartAsync(new EtcdServerOptions { Username = "calico", Password = "secret", Time = time });
        await using var store = served.Connect(o => o with { Username = "calico", Password = "secret" });
        await store.PutAsync("/a");

        time.Advance(TimeSpan.FromMinutes(6));

        await store.PutAsync("/a");
        time.Advance(TimeSpan.FromMinutes(6));
        await FirstAsync(store);
    }

    [Fact]
    public async Task A_password_for_a_store_that_wants_none_does_no_harm()
    {
        await using var served = await ServedStore.StartAsync();
        await using var store = served.Connect(o => o with { Username = "calico", Password = "secret" });

        await store.PutAsync("/a");

        Assert.NotNull(await store.GetAsync("/a"));
    }

    [Fact]
    public async Task Calls_after_closing_are_refused_and_watches_end()
    {
        await using var served = await ServedStore.StartAsync();
        var store = served.Connect();
        var watch = FirstAsync(store);

        await store.DisposeAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => watch);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => store.GetAsync("/a"));
    }

    [Fact]
    public void Wrong_options_are_all_named_at_once()
    {
        var fault = Assert.Throws<DatastoreException>(() => new EtcdDatastore(new EtcdOptions
        {
            Endpoints = ["localhost:2379", "ftp://x"],
            Tls = new TlsOptions { CertificateFile = "x" },
        }));

        Assert.Contains("'localhost:2379'", fault.Message, StringComparison.Ordinal);
        Assert.Contains("'ftp://x'", fault.Message, StringComparison.Ordinal);
        Assert.Contains("needs its key", fault.Message, StringComparison.Ordinal);
    }

    /// <summary>Accepts connections, reads, and never says anything.</summary>
    private sealed class SilentServer : IDisposable
    {
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
        private readonly CancellationTokenSource _stop = new();
        private int _connections;

        public SilentServer()
        {
            _listener.Start();
            _ = AcceptAsync();
        }

        public string Url => $"http://{_listener.LocalEndpoint}";
        public int Connections => Volatile.Read(ref _connections);

        private async Task AcceptAsync()
        {
            List<Socket> sockets = [];
            try
            {
                while (true)
                {
                    sockets.Add(await _listener.AcceptSocketAsync(_stop.Token));
                    Interlocked.Increment(ref _connections);
                }
            }
            catch (OperationCanceledException)
            {
                sockets.ForEach(s => s.Dispose());
            }
        }

        public void Dispose()
        {
            _stop.Cancel();
            _listener.Dispose();
            _stop.Dispose();
        }
    }
}
