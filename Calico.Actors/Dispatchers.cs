namespace Calico.Actors;

/// <summary>Names of dispatchers in the node's actor system.</summary>
internal static class Dispatchers
{
    /// <summary>A thread of its own for each actor: kernel calls block, and must not hold up anybody else.</summary>
    public const string KernelWriter = "calico.kernel-writer";
}
