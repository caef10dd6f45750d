using System.Collections.Immutable;
using System.Text.Json;
using Akka.Actor;
using Akka.Event;
using Calico.Actors.Protocol;
using Calico.Datastore.Kubernetes;

namespace Calico.Actors.Routing;

/// <summary>Between routing and the actor that watches Secrets. Local; no message shows a value when it is printed.</summary>
internal static class SecretProtocol
{
    /// <summary>These Secrets are of use from now on, and no others. Each is answered with <see cref="SecretChanged"/>, now and later.</summary>
    public sealed record UseSecrets(ImmutableSortedSet<string> Names) : ILocalMessage;

    /// <summary>A Secret as it is now; <paramref name="Json"/> is null if there is none.</summary>
    public sealed record SecretChanged(string Name, JsonElement? Json) : ILocalMessage
    {
        public override string ToString() => $"Secret {Name} {(Json is null ? "is not there" : "changed")}";
    }
}

/// <summary>
/// Watches the Secrets that sessions name, each by itself, so that no more rights are needed than for these. Child of routing. What
/// cannot be watched is tried again and stays as it was meanwhile.
/// </summary>
internal sealed class SecretsActor : ReceiveActor, IWithTimers
{
    private sealed record Heard(string Name, PlainChange Change) : ITick
    {
        public override string ToString() => $"Secret {Name}";
    }

    private sealed record Lost(string Name, string Cause, CancellationToken Watch) : ITick;

    private sealed record Again(string Name) : ITick;

    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(30);

    private readonly IPlainObjects _objects;
    private readonly string _namespace;
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly Dictionary<string, CancellationTokenSource> _watches = [];

    public ITimerScheduler Timers { get; set; } = null!;

    public static Props Props(IPlainObjects objects, string ns) => Akka.Actor.Props.Create(() => new SecretsActor(objects, ns));

    public SecretsActor(IPlainObjects objects, string ns)
    {
        _objects = objects;
        _namespace = ns;
        Receive<SecretProtocol.UseSecrets>(OnUse);
        Receive<Heard>(OnHeard);
        Receive<Lost>(OnLost);
        Receive<Again>(a =>
        {
            if (_watches.ContainsKey(a.Name))
                Follow(a.Name);
        });
    }

    protected override void PostStop()
    {
        foreach (var name in _watches.Keys.ToList())
            Leave(name);
    }

    private void OnUse(SecretProtocol.UseSecrets m)
    {
        foreach (var name in _watches.Keys.Where(n => !m.Names.Contains(n)).ToList())
            Leave(name);
        foreach (var name in m.Names.Where(n => !_watches.ContainsKey(n)))
            Follow(name);
    }

    private void OnHeard(Heard m)
    {
        if (!_watches.ContainsKey(m.Name))
            return;
        if (m.Change.IsAll && m.Change.Objects.IsEmpty)
            Context.Parent.Tell(new SecretProtocol.SecretChanged(m.Name, null));
        foreach (var secret in m.Change.Objects)
            Context.Parent.Tell(new SecretProtocol.SecretChanged(m.Name, secret.Json));
    }

    private void OnLost(Lost m)
    {
        if (!_watches.TryGetValue(m.Name, out var watch) || watch.Token != m.Watch)
            return;
        _log.Warning("bgp: Secret {Namespace}/{Name} cannot be watched and stays as it was: {Cause}; tried again in {Pause}", _namespace, m.Name, m.Cause, RetryAfter);
        Timers.StartSingleTimer(m.Name, new Again(m.Name), RetryAfter);
    }

    private void Follow(string name)
    {
        if (_watches.Remove(name, out var before))
            before.Dispose();
        var watch = _watches[name] = new CancellationTokenSource();
        _ = FollowAsync(_objects, new PlainSelection(PlainKind.Secrets, _namespace, name), Self, watch.Token);
    }

    private void Leave(string name)
    {
        if (!_watches.Remove(name, out var watch))
            return;
        Timers.Cancel(name);
        watch.Cancel();
        watch.Dispose();
    }

    private static async Task FollowAsync(IPlainObjects objects, PlainSelection what, IActorRef self, CancellationToken cancellation)
    {
        try
        {
            await foreach (var change in objects.FollowAsync(what, cancellation))
                self.Tell(new Heard(what.Name!, change));
        }
        catch (Exception) when (cancellation.IsCancellationRequested)
        {
        }
        catch (Exception e)
        {
            self.Tell(new Lost(what.Name!, e.Message, cancellation));
        }
    }
}
