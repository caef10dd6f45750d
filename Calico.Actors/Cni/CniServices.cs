using Akka.Actor;
using Calico.Core.Cni;

namespace Calico.Actors.Cni;

/// <summary>The actors and facts that a call needs.</summary>
public sealed record CniServices(string Node, IActorRef Lease, IActorRef Links, IActorRef Routes, IActorRef Enforcer,
    IActorRef Registry, IActorRef Facts, TimeProvider Time)
{
    public string InterfacePrefix { get; init; } = "cali";

    /// <summary>MTU of pods whose configuration says nothing, in bytes.</summary>
    public uint DefaultMtu { get; init; } = 1500;

    /// <summary>How long one step may take before the runtime is told to try again.</summary>
    public TimeSpan StepTimeout { get; init; } = TimeSpan.FromSeconds(25);
}

/// <summary>A call that ends with an error of the specification.</summary>
public sealed class CniCallException(CniError error) : Exception(error.Message)
{
    public CniError Error { get; } = error;
}
