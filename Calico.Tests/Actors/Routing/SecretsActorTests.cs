using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Threading.Channels;
using Akka.Actor;
using Akka.TestKit;
using Calico.Actors.Routing;
using Calico.Datastore;
using Calico.Datastore.Kubernetes;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Routing;

[Layer("actor")]
public sealed class SecretsActorTests : NodeActorFixture
{
    private readonly Source _source = new();
    private readonly TestProbe _parent;
    private readonly IActorRef _secrets;

    public SecretsActorTests(ITestOutputHelper output)
        : base(output)
    {
        _parent = CreateTestProbe("routing");
        _secrets = _parent.ChildActorOf(SecretsActor.Props(_source, "calico-system"));
    }

    [Fact]
    public async Task Each_secret_is_watched_by_its_name_and_no_longer_than_it_is_of_use()
    {
        Use("one", "two");
        await Eventually(() => Assert.Equal(["calico-system/one", "calico-system/two"], _source.Open.Keys.Order()));

        Use("two", "three");
        await Eventually(() => Assert.Equal(["calico-system/three", "calico-system/two"], _source.Open.Keys.Order()));
        Use();
        await Eventually(() => Assert.Empty(_source.Open));
    }

    [Fact]
    public async Task What_there_is_what_changes_and_what_is_gone_is_told()
    {
        Use("one");
        Say("one", new PlainChange([], IsAll: true));
        Assert.Null((await ToldAsync()).Json);

        Say("one", new PlainChange([Secret("one", "czNjcmV0")], IsAll: false));
        var told = await ToldAsync();
        Assert.Equal("czNjcmV0", told.Json!.Value.GetProperty("data").GetProperty("password").GetString());
        Assert.DoesNotContain("czNjcmV0", told.ToString(), StringComparison.Ordinal);

        Say("one", new PlainChange([new PlainObject("calico-system", "one", null)], IsAll: false));
        Assert.Null((await ToldAsync()).Json);
    }

    [Fact]
    public async Task A_secret_that_cannot_be_watched_stays_as_it_was()
    {
        Use("one");
        Say("one", new PlainChange([Secret("one", "czNjcmV0")], IsAll: true));
        await ToldAsync();

        await Eventually(() => Assert.True(_source.Open.ContainsKey("calico-system/one")));
        _source.Open["calico-system/one"].Writer.Complete(new DatastoreException(DatastoreFault.Denied, "forbidden"));

        await _parent.ExpectNoMsgAsync(TimeSpan.FromMilliseconds(200));
    }

    [Fact]
    public void Values_are_text_without_the_line_end_behind_it_and_of_a_bounded_length()
    {
        var secrets = new KubeSecrets();
        secrets.Learn("one", JsonDocument.Parse($$$"""{"data": {"password": "czNjcmV0Cg==", "empty": "", "none": 5, "bad": "%%%", "long": "{{{Convert.ToBase64String(new byte[5000])}}}"}}""").RootElement);
        secrets.Learn("two", JsonDocument.Parse("{}").RootElement);

        Assert.Equal("s3cret", secrets.Read("one", "password"));
        Assert.Equal("", secrets.Read("one", "empty"));
        Assert.All(new[] { "none", "bad", "long", "other" }, key => Assert.Null(secrets.Read("one", key)));
        Assert.Null(secrets.Read("two", "password"));
        secrets.Learn("one", null);
        Assert.Null(secrets.Read("one", "password"));
    }

    private void Use(params string[] names) => _secrets.Tell(new SecretProtocol.UseSecrets([.. names]), _parent);

    private void Say(string name, PlainChange change) =>
        SpinWait.SpinUntil(() => _source.Open.TryGetValue("calico-system/" + name, out var watch) && watch.Writer.TryWrite(change), Patience);

    private Task<SecretProtocol.SecretChanged> ToldAsync() => _parent.ExpectMsgAsync<SecretProtocol.SecretChanged>(Patience).AsTask();

    private static PlainObject Secret(string name, string password) =>
        new("calico-system", name, JsonDocument.Parse($$$"""{"data": {"password": "{{{password}}}"}}""").RootElement);

    private sealed class Source : IPlainObjects
    {
        public ConcurrentDictionary<string, Channel<PlainChange>> Open { get; } = new();

        public async IAsyncEnumerable<PlainChange> FollowAsync(PlainSelection what, [EnumeratorCancellation] CancellationToken cancellation)
        {
            Assert.Equal(PlainKind.Secrets, what.Kind);
            var watch = Open.GetOrAdd($"{what.Namespace}/{what.Name}", _ => Channel.CreateUnbounded<PlainChange>());
            try
            {
                await foreach (var change in watch.Reader.ReadAllAsync(cancellation))
                    yield return change;
            }
            finally
            {
                Open.TryRemove($"{what.Namespace}/{what.Name}", out _);
            }
        }
    }
}
