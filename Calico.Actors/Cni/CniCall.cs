using Calico.Core.Cni;
using Calico.Kernel;
using Calico.Kernel.Namespaces;
using Microsoft.Win32.SafeHandles;

namespace Calico.Actors.Cni;

/// <summary>
/// One plugin call on its way through the node. Whoever receives it owns it until <see cref="ReplyAsync"/>, and must
/// call that once in every case, also after cancellation: only then are its place and the namespace given back.
/// </summary>
public sealed class CniCall
{
    private readonly Func<CniReply, Task<bool>> _send;
    private readonly TaskCompletionSource _finished = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _answered;
    private int _owned = 1;

    internal CniCall(CniRequest request, SafeFileHandle? netns, Func<CniReply, Task<bool>> send)
    {
        Request = request;
        Netns = netns;
        _send = send;
    }

    public CniRequest Request { get; }

    /// <summary>
    /// The record of a DEL that waited for the node. Without it the DEL has been carried out meanwhile, by an ADD that looked
    /// for it, and must not be again.
    /// </summary>
    internal string? Record { get; init; }

    /// <summary>The pod's network namespace; null where the runtime named none or, for a DEL, where it is gone.</summary>
    public SafeFileHandle? Netns { get; }

    /// <summary>The pod's namespace, opened by the descriptor that the runtime's shim passed.</summary>
    /// <exception cref="CniCallException">There is none, or it is none.</exception>
    internal NetworkNamespace OpenPod()
    {
        if (Netns is not { } netns)
            throw CniSteps.Failure(CniErrorCode.InvalidNetns, $"network namespace '{Request.NetnsPath}' was not passed to the node");
        try
        {
            return NetworkNamespace.Open($"/proc/self/fd/{netns.DangerousGetHandle()}");
        }
        catch (KernelException e)
        {
            throw CniSteps.Failure(CniErrorCode.InvalidNetns, e.Message);
        }
    }

    /// <summary>
    /// Answers and ends the call. False: the shim did not get it, because it is gone or the deadline answered before.
    /// </summary>
    public async Task<bool> ReplyAsync(CniReply reply)
    {
        if (Interlocked.Exchange(ref _owned, 0) == 0)
            return false;
        try
        {
            return await TryAnswerAsync(reply);
        }
        finally
        {
            Netns?.Dispose();
            _finished.TrySetResult();
        }
    }

    internal Task Finished => _finished.Task;

    /// <summary>Sends an answer without ending the call: the deadline speaks for an owner who is still at work.</summary>
    internal async Task<bool> TryAnswerAsync(CniReply reply) =>
        Interlocked.Exchange(ref _answered, 1) == 0 && await _send(reply);
}
