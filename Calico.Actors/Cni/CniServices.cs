using Akka.Actor;
using Calico.Core.Cni;
using Calico.Core.Model.Kubernetes;
using Calico.Datastore;
using Calico.Kernel.Namespaces;

namespace Calico.Actors.Cni;

/// <summary>The actors and facts that a call needs.</summary>
public sealed record CniServices(string Node, IActorRef Lease, IActorRef Links, IActorRef Routes, IActorRef Enforcer,
    IActorRef Registry, IActorRef Facts, TimeProvider Time)
{
    /// <summary>Prefix of host interface names; the same that routes and rules go by.</summary>
    public string InterfacePrefix { get; init; } = KubeNames.DefaultInterfacePrefix;

    /// <summary>MTU of pods for which neither the configuration nor <see cref="MtuFile"/> says one, in bytes.</summary>
    public uint DefaultMtu { get; init; } = 1500;

    /// <summary>Where the node's MTU is written down.</summary>
    public string MtuFile { get; init; } = "/var/lib/calico/mtu";

    /// <summary>How long one step may take before the runtime is told to try again.</summary>
    public TimeSpan StepTimeout { get; init; } = TimeSpan.FromSeconds(25);

    /// <summary>
    /// The longest that <c>policy_setup_timeout_seconds</c> may have an ADD wait: the runtime must hear why before the deadline of
    /// the call has spoken (<see cref="CniListenerOptions.CallDeadline"/>).
    /// </summary>
    public TimeSpan MaxPolicyPatience { get; init; } = TimeSpan.FromSeconds(75);

    /// <summary>Where profiles of networks without a policy are made if they are missing; null where Kubernetes is the datastore, whose profiles and
    /// endpoints are objects of its own.</summary>
    public IDatastore? Datastore { get; init; }

    /// <summary>Where Kubernetes' pods are read; null without Kubernetes.</summary>
    public IPodReader? Pods { get; init; }

    /// <summary>The node's own namespace, which CHECK looks at.</summary>
    public INetworkNamespace? Host { get; init; }

    /// <summary>Where DELs wait that found no node; null: nowhere.</summary>
    public string? PendingDeletes { get; init; }

    /// <summary>Told what a person should hear.</summary>
    public Action<string> Report { get; init; } = _ => { };

    /// <summary>The MTU that the file says, or null.</summary>
    public uint? ReadMtu()
    {
        try
        {
            return File.Exists(MtuFile) && uint.TryParse(File.ReadAllText(MtuFile).AsSpan().Trim(), out var mtu) && mtu is > 0 and <= 65535 ? mtu : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}

/// <summary>A call that ends with an error of the specification.</summary>
public sealed class CniCallException(CniError error) : Exception(error.Message)
{
    public CniError Error { get; } = error;
}
