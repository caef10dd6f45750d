using System.Globalization;
using System.Text;
using Calico.Datastore;
using Calico.Datastore.Kubernetes;
using Calico.Tests.Datastore.Kubernetes.Fake;
using Microsoft.Extensions.Time.Testing;

namespace Calico.Tests.Datastore.Kubernetes;

/// <summary>
/// Transactions over several objects whose owner dies between any two requests, and many at once: they are whole or absent
/// for everybody, and nothing of them stays behind.
/// </summary>
[Layer("unit")]
public sealed class TransactionCrashTests
{
    private const string Changed = "/calico/crash/changed";
    private const string Made = "/calico/crash/made";
    private const string Gone = "/calico/crash/gone";
    private const string Checked = "/calico/resources/v3/projectcalico.org/globalnetworksets/checked";
    private const string Absent = "/calico/resources/v3/projectcalico.org/globalnetworksets/absent";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly FakeApi _api = new();

    private static ReadOnlyMemory<byte> Bytes(string text) => Encoding.UTF8.GetBytes(text);

    private static string? Text(KeyValue? stored) => stored is null ? null : Encoding.UTF8.GetString(stored.Value.Span);

    private KubernetesDatastore Survivor() => _api.Open(o => o with { TransactionTimeout = TimeSpan.FromMilliseconds(20), Backoff = TimeSpan.FromMilliseconds(1) });

    public static TheoryData<int, bool> Deaths
    {
        get
        {
            var deaths = new TheoryData<int, bool>();
            for (var requests = 0; requests < 40; requests++)
            {
                deaths.Add(requests, false);
                deaths.Add(requests, true);
            }
            return deaths;
        }
    }

    [Theory]
    [MemberData(nameof(Deaths))]
    public async Task A_transaction_whose_owner_dies_is_whole_or_absent_and_is_cleared_away(int requests, bool isLastCarriedOut)
    {
        await using var survivor = Survivor();
        var before = await SeedAsync(survivor);
        var start = (await survivor.ListAsync("/calico/crash/")).Revision;

        var isAnswered = await RunToDeathAsync(before, requests, isLastCarriedOut);
        var read = await ReadAsync(survivor);
        var listed = (await survivor.ListAsync("/calico/crash/")).Items.Select(i => (i.Key, Text(i))).ToList();

        string?[] old = ["1", null, "1"], @new = ["2", "2", null];
        Assert.True(read.SequenceEqual(old) || read.SequenceEqual(@new), string.Join(',', read));
        Assert.Equal(read.OfType<string>().Order(), listed.Select(l => l.Item2!).Order());

        // Whoever comes next gets through, in the way of the dead one on every key.
        var next = await WriteAsync(survivor);
        Assert.Equal(["3", "3", "3"], (await ReadAsync(survivor)).Select(t => t ?? ""));
        Assert.Null(await survivor.GetAsync(Absent));
        Assert.Equal(before.ModRevision, (await survivor.GetAsync(Checked))!.ModRevision);
        // A record of which no key is held is in nobody's way.
        Assert.InRange(_api.Store.Count("calicotransactions"), 0, 1);
        Assert.Equal(1, _api.Store.Count("globalnetworksets"));
        if (isAnswered)
            Assert.True(read.SequenceEqual(@new));

        // The story as a watch tells it ends with the same, and each transaction comes in one piece.
        using var patience = new CancellationTokenSource(Patience);
        List<int> sizes = [];
        await foreach (var batch in survivor.WatchAsync("/calico/crash/", start, patience.Token))
        {
            sizes.Add(batch.Length);
            if (batch.Any(e => e.Revision == next))
                break;
        }
        Assert.All(sizes, size => Assert.Equal(3, size));
        Assert.Equal(read.SequenceEqual(@new) ? 2 : 1, sizes.Count);
    }

    private static async Task<KeyValue> SeedAsync(KubernetesDatastore store)
    {
        await store.CommitAsync(new Transaction([], [Write.Put(Changed, Bytes("1"))]));
        await store.CommitAsync(new Transaction([], [Write.Put(Gone, Bytes("1"))]));
        await store.CommitAsync(new Transaction([], [Write.Put(Checked,
            Bytes("""{"kind":"GlobalNetworkSet","apiVersion":"projectcalico.org/v3","metadata":{"name":"checked"},"spec":{"nets":["10.0.0.0/8"]}}"""))]));
        return (await store.GetAsync(Checked))!;
    }

    private async Task<bool> RunToDeathAsync(KeyValue check, int requests, bool isLastCarriedOut)
    {
        DyingHandler? handler = null;
        await using var victim = _api.Open(o => o with
        {
            Wrap = _ => handler ??= new DyingHandler(_api.Handler(), requests, isLastCarriedOut),
            RequestTimeout = TimeSpan.FromMilliseconds(50),
            Backoff = TimeSpan.FromMilliseconds(1),
            Time = TimeProvider.System,
        });
        try
        {
            await victim.CommitAsync(new Transaction([Compare.At(Checked, check.ModRevision), Compare.Absent(Absent), Compare.Absent(Made)],
                [Write.Put(Changed, Bytes("2")), Write.Put(Made, Bytes("2")), Write.Delete(Gone)]));
            return true;
        }
        catch (DatastoreException e)
        {
            Assert.Equal(DatastoreFault.Unavailable, e.Fault);
            return false;
        }
    }

    private static async Task<string?[]> ReadAsync(KubernetesDatastore store) =>
        [Text(await store.GetAsync(Changed)), Text(await store.GetAsync(Made)), Text(await store.GetAsync(Gone))];

    private static async Task<long> WriteAsync(KubernetesDatastore store)
    {
        var checkedNow = (await store.GetAsync(Checked))!;
        var result = await store.CommitAsync(new Transaction([Compare.At(Checked, checkedNow.ModRevision), Compare.Absent(Absent)],
            [Write.Put(Changed, Bytes("3")), Write.Put(Made, Bytes("3")), Write.Put(Gone, Bytes("3"))]));
        Assert.True(result.Succeeded);
        return result.Revision;
    }

    [Fact]
    public async Task What_is_left_of_transactions_that_nobody_meets_is_swept_by_whoever_watches()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UnixEpoch.AddYears(56));
        _api.Time = time;
        await using var survivor = _api.Open();
        await using var watch = survivor.WatchAsync("/calico/crash/", await SeedRevisionAsync(survivor)).GetAsyncEnumerator();
        var told = watch.MoveNextAsync().AsTask();
        // A client that made its record and died.
        var before = (await survivor.GetAsync(Checked))!;
        for (var requests = 0; _api.Store.Count("calicotransactions") == 0; requests++)
            await RunToDeathAsync(before, requests, isLastCarriedOut: true);

        using var patience = new CancellationTokenSource(Patience);
        while (_api.Store.Count("calicotransactions") > 0)
        {
            patience.Token.ThrowIfCancellationRequested();
            time.Advance(TimeSpan.FromSeconds(1));
            await Task.Yield();
        }

        await survivor.CommitAsync(new Transaction([], [Write.Put(Changed, Bytes("2"))]));
        Assert.True(await told);
    }

    private static async Task<long> SeedRevisionAsync(KubernetesDatastore store)
    {
        await SeedAsync(store);
        return (await store.ListAsync("/calico/crash/")).Revision;
    }

    [Fact]
    public async Task Transfers_between_accounts_by_clients_some_of_which_die_keep_the_sum()
    {
        const int Accounts = 5;
        const int Clients = 8;
        const int Transfers = 30;
        string Account(int i) => $"/calico/bank/{i}";
        await using var bank = Survivor();
        await bank.CommitAsync(new Transaction([], [.. Enumerable.Range(0, Accounts).Select(i => Write.Put(Account(i), Bytes("100")))]));
        using var done = new CancellationTokenSource();

        async Task TransferAsync(KubernetesDatastore store, Random random)
        {
            var (from, to) = (random.Next(Accounts), random.Next(Accounts - 1));
            to += to >= from ? 1 : 0;
            var (source, target) = (await store.GetAsync(Account(from)), await store.GetAsync(Account(to)));
            var amount = random.Next(10);
            await store.CommitAsync(new Transaction([Compare.At(Account(from), source!.ModRevision), Compare.At(Account(to), target!.ModRevision)],
                [Write.Put(Account(from), Bytes($"{Amount(source) - amount}")), Write.Put(Account(to), Bytes($"{Amount(target) + amount}"))]));
        }

        async Task WorkAsync(int client)
        {
            var random = new Random(client);
            for (var i = 0; i < Transfers; i++)
            {
                // Every other one dies somewhere on the way.
                DyingHandler? handler = null;
                var requests = i % 2 == 0 ? int.MaxValue - 1 : random.Next(40, 80);
                await using var store = _api.Open(o => o with
                {
                    Wrap = _ => handler ??= new DyingHandler(_api.Handler(), requests, random.Next(2) == 0),
                    TransactionTimeout = TimeSpan.FromMilliseconds(20),
                    Backoff = TimeSpan.FromMilliseconds(1),
                    RequestTimeout = i % 2 == 0 ? Patience : TimeSpan.FromMilliseconds(50),
                });
                try
                {
                    await TransferAsync(store, random);
                }
                catch (DatastoreException e) when (e.Fault == DatastoreFault.Unavailable)
                {
                    // Dead, or unknown whether it was carried out: the sum tells that it was so as a whole or not at all.
                }
            }
        }

        async Task<int> AuditAsync()
        {
            var audits = 0;
            while (!done.IsCancellationRequested)
            {
                Assert.Equal(100 * Accounts, (await bank.ListAsync("/calico/bank/")).Items.Sum(Amount));
                audits++;
            }
            return audits;
        }

        var audit = AuditAsync();
        await Task.WhenAll(Enumerable.Range(0, Clients).Select(c => Task.Run(() => WorkAsync(c))));
        await done.CancelAsync();

        Assert.NotEqual(0, await audit);
        // The last of the dead are cleared away by whoever needs their accounts.
        for (var i = 0; i < Accounts; i++)
        {
            var stored = (await bank.GetAsync(Account(i)))!;
            Assert.True((await bank.CommitAsync(new Transaction([Compare.At(stored.Key, stored.ModRevision)], [Write.Put(stored.Key, stored.Value)]))).Succeeded);
        }
        Assert.Equal(100 * Accounts, (await bank.ListAsync("/calico/bank/")).Items.Sum(Amount));
    }

    private static int Amount(KeyValue stored) => int.Parse(Text(stored)!, CultureInfo.InvariantCulture);
}
