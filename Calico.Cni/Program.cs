using Calico.Cni;
using Calico.Core.Cni;

// The CNI plugin: checks what can be checked without the node, hands the call and the pod's network namespace to the
// node over its socket, prints the answer. Installed as calico and as calico-ipam. See Calico.Core/Cni/CniFrame.cs.

if (args is ["-v" or "--version"])
{
    Libc.WriteAll(1, "0.1.0\n"u8);
    return 0;
}

if (!CniInvocation.TryRead(Environment.GetEnvironmentVariable, Environment.GetCommandLineArgs()[0], out var call, out var error))
    return Print(error!.ToReply(CniVersion.Newest));
if (call!.Command == CniCommand.Version)
    return Print(Shim.Versions());

var config = Shim.ReadConfig(out error);
if (error is not null)
    return Print(error.ToReply(CniVersion.Newest));
var decoded = CniConfigHeader.TryRead(config.Span, call.Command, out var header, out error);
var version = header.Version.IsSupported ? header.Version : CniVersion.Newest;
if (!decoded)
    return Print(error!.ToReply(version));

var netns = Shim.OpenNetns(call, out error);
if (error is not null)
    return Print(error.ToReply(version));
return Print(Shim.Run(call, header, config, netns));

static int Print(CniReply reply) => Libc.WriteAll(1, reply.Output.Span) ? reply.ExitCode : 1;
