using System.Collections.Immutable;
using Akka.Event;
using Calico.Actors.Bgp;

namespace Calico.Actors.Routing;

/// <summary>Has the speaker configured by the resources of now, and says nothing that it knows. Not thread-safe.</summary>
internal sealed class Configurator(PeeringResources resources, RoutingIntroductions introduced, ILoggingAdapter log)
{
    // Why there is no configuration, as last logged.
    private string? _silent;

    // What peers say to no effect, as last logged.
    private ImmutableArray<(string Peer, string Problem)> _ineffective = [];

    /// <summary>The kernel had routes of ours when the node started.</summary>
    public bool Restarting { get; set; }

    public void Configure()
    {
        if (!Peering.TryOf(resources.Inputs, out var config, out var why))
        {
            if (why != _silent && resources.Inputs.Nodes.ContainsKey(resources.Inputs.Node))
                log.Warning("bgp: the speaker stays as it is: {Reason}", why);
            _silent = why;
            return;
        }
        _silent = null;
        config = config with { Restarting = Restarting };
        LogIneffective();
        if (introduced.Configuration is { } now && now.Config.SameAs(config))
            return;
        foreach (var filter in Peering.MissingFilters(resources.Inputs))
            log.Warning("bgp: there is no BGPFilter '{Filter}': peers that name it exchange no routes that an earlier filter has not decided about", filter);
        introduced.Configuration = new BgpProtocol.ConfigureSpeaker(config);
        introduced.Tell(introduced.Configuration);
    }

    private void LogIneffective()
    {
        var ineffective = Peering.Ineffective(resources.Inputs).ToImmutableArray();
        foreach (var (peer, problem) in ineffective.Except(_ineffective))
            log.Warning("bgp: BGPPeer '{Peer}': {Problem}; it has no effect", peer, problem);
        _ineffective = ineffective;
    }
}
